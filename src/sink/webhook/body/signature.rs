//! The headers by which a receiver knows that a delivery is ours, whole and fresh (Standard Webhooks 1.0).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::config::{SigningKey, SigningSecret};

/// Name and value of each header: the id, the time of the attempt in Unix seconds, and a signature of both
/// and the body with every secret, the newest first.
pub(crate) fn headers(
    id: &str,
    timestamp_s: i64,
    body: &[u8],
    secrets: &[SigningSecret],
) -> Vec<(&'static str, String)> {
    let mut headers = vec![("webhook-id", id.to_owned()), ("webhook-timestamp", timestamp_s.to_string())];
    if !secrets.is_empty() {
        let content = [format!("{id}.{timestamp_s}.").as_bytes(), body].concat();
        let signatures: Vec<String> = secrets.iter().map(|secret| sign(secret.key(), &content)).collect();
        headers.push(("webhook-signature", signatures.join(" ")));
    }
    headers
}

fn sign(key: &SigningKey, content: &[u8]) -> String {
    match key {
        SigningKey::Shared(key) => format!("v1,{}", STANDARD.encode(hmac::sign(key, content))),
        SigningKey::Pair(pair) => format!("v1a,{}", STANDARD.encode(pair.sign(content))),
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

    use super::*;

    /// Test vector of the reference libraries: secret and signature.
    const SHARED: (&str, &str) =
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    const PAIR: (&str, &str) = (
        "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=",
        "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==",
    );
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn secret(text: &str) -> SigningSecret {
        SigningSecret::parse(text).unwrap()
    }

    fn signature(secrets: &[SigningSecret]) -> String {
        let headers = headers(ID, TIMESTAMP, BODY, secrets);
        headers.into_iter().find(|(name, _)| *name == "webhook-signature").unwrap().1
    }

    #[test]
    fn the_published_examples_are_signed_as_published() {
        for (text, expected) in [SHARED, PAIR] {
            assert_eq!(signature(&[secret(text)]), expected);
        }
    }

    #[test]
    fn every_secret_signs_and_the_newest_comes_first() {
        let both = signature(&[secret(PAIR.0), secret(SHARED.0)]);
        let (first, second) = both.split_once(' ').unwrap();
        assert_eq!(second, SHARED.1);
        let bytes = STANDARD.decode(first.strip_prefix("v1a,").unwrap()).unwrap();
        let seed = STANDARD.decode(&PAIR.0[5..]).unwrap();
        let public = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let content = [format!("{ID}.{TIMESTAMP}.").as_bytes(), BODY].concat();
        let public = UnparsedPublicKey::new(&ED25519, public.public_key().as_ref().to_vec());
        assert!(public.verify(&content, &bytes).is_ok());
        assert!(public.verify(&content[1..], &bytes).is_err());
    }

    #[test]
    fn without_a_secret_there_is_no_signature_but_id_and_time() {
        assert_eq!(
            headers("b24_0_1", TIMESTAMP, BODY, &[]),
            [("webhook-id", "b24_0_1".to_owned()), ("webhook-timestamp", "1614265330".to_owned())]
        );
    }
}
