//! `tls` of a sink, a source or a portal: how the host is verified, and the client certificate of the relay. The
//! files are read here.

use std::fmt;
use std::str::FromStr;

use b24_client::SecretText;
use reqwest::{Certificate, Identity, tls};
use rustls::client::ResolvesClientCert as _;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::config::parse::keys::Fingerprint;
use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::secrets::secret_file::SecretFiles;

/// A system's whole collection of authorities is a quarter of that.
const LARGEST: u64 = 1024 * 1024;

/// `tls`.
#[derive(Clone, Default)]
pub struct TlsConfig {
    /// The authorities in `ca_file`, trusted in addition to the system's.
    pub authorities: Vec<Certificate>,
    /// Certificate and key of `client_cert_file` and `client_key_file`.
    pub identity: Option<Identity>,
    /// `min_version`; TLS 1.2 if not given.
    pub min_version: Option<TlsVersion>,
    /// The content of `ca_file`, `client_cert_file` and `client_key_file`, from which the other fields are
    /// built.
    files: [Option<SecretText>; 3],
}

impl PartialEq for TlsConfig {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files && self.min_version == other.min_version
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("authorities", &self.authorities.len())
            .field("identity", &self.identity.is_some())
            .field("min_version", &self.min_version)
            .finish_non_exhaustive()
    }
}

/// `tls.min_version`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TlsVersion {
    /// `"1.2"`.
    V1_2,
    /// `"1.3"`.
    V1_3,
}

impl TlsVersion {
    /// The same version in the type of the HTTP client.
    pub fn version(self) -> tls::Version {
        match self {
            Self::V1_2 => tls::Version::TLS_1_2,
            Self::V1_3 => tls::Version::TLS_1_3,
        }
    }
}

impl FromStr for TlsVersion {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "1.2" => Ok(Self::V1_2),
            "1.3" => Ok(Self::V1_3),
            _ => Err("must be `1.2` or `1.3`, in quotes"),
        }
    }
}

/// Reads the table and reports violations.
pub(crate) fn read(table: &mut Table<'_>, files: &SecretFiles) -> TlsConfig {
    let pem = |value: &config::Value| files.public_text(&value::secret(value)?, LARGEST);
    let private_pem = |value: &config::Value| files.private_text(&value::secret(value)?, LARGEST);
    let with_authorities = |value: &config::Value| {
        let text = pem(value)?;
        Ok((authorities(&text)?, text))
    };
    let authorities = table.take_as("ca_file", with_authorities, |(_, text)| Fingerprint::of(text));
    let (has_certificate, has_key) = (table.has("client_cert_file"), table.has("client_key_file"));
    if has_key && !has_certificate {
        table.report("client_key_file", "belongs to a certificate: set `client_cert_file` as well");
    }
    let certificate = table.take("client_cert_file", |value| with_certificate(pem(value)?));
    let key = table.take("client_key_file", |value| with_key(private_pem(value)?));
    let min_version = table.take("min_version", value::choice);
    let (authorities, authorities_text) = authorities.unzip();
    let files = [&authorities_text, &certificate, &key].map(|text| text.as_ref().map(SecretText::new));
    let key_place = if has_key { "client_key_file" } else { "client_cert_file" };
    let identity = match (certificate, key) {
        (Some(_), None) if has_key => None,
        (Some(certificate), key) => identity(&(certificate + "\n" + key.as_deref().unwrap_or_default()))
            .map_err(|rule| table.report(key_place, rule))
            .ok(),
        (None, _) => None,
    };
    TlsConfig { authorities: authorities.unwrap_or_default(), identity, min_version, files }
}

fn authorities(pem: &str) -> Result<Vec<Certificate>, String> {
    const RULE: &str = "must be a PEM file with the certificates of authorities (BEGIN CERTIFICATE)";
    let all: Vec<CertificateDer<'_>> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|_| RULE)?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in &all {
        roots
            .add(certificate.clone())
            .map_err(|_| "holds a certificate that cannot be used as an authority's")?;
    }
    if all.is_empty() {
        return Err(RULE.to_owned());
    }
    all.iter().map(|der| Certificate::from_der(der).map_err(|_| RULE.to_owned())).collect()
}

fn with_certificate(pem: String) -> Result<String, String> {
    let first = CertificateDer::pem_slice_iter(pem.as_bytes()).next();
    match first {
        Some(Ok(_)) => Ok(pem),
        _ => Err("must be a PEM file with our certificate (BEGIN CERTIFICATE)".to_owned()),
    }
}

fn with_key(pem: String) -> Result<String, String> {
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
        Ok(_) => Ok(pem),
        Err(_) if pem.contains("ENCRYPTED") => {
            Err("must not be encrypted, for nobody is there to type its password: `openssl pkey` decrypts it"
                .to_owned())
        }
        Err(_) => Err("must be a PEM file with the key of our certificate (BEGIN PRIVATE KEY)".to_owned()),
    }
}

/// Parses a certificate and its key from one PEM text; they must belong together.
fn identity(pem: &str) -> Result<Identity, String> {
    let Ok(key) = PrivateKeyDer::from_pem_slice(pem.as_bytes()) else {
        return Err("holds no key: set `client_key_file` to the file that does".to_owned());
    };
    let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| "holds a certificate that is cut")?;
    let key = CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|_| "does not belong together: the key is not that of the first certificate, or of a kind that is not known")?;
    if !SingleCertAndKey::from(key).has_certs() {
        return Err("holds no certificate".to_owned());
    }
    Identity::from_pem(pem.as_bytes())
        .map_err(|_| "cannot be used: certificate and key must be PEM".to_owned())
}
