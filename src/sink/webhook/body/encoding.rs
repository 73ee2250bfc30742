//! The body's `Content-Encoding`: what is signed is packed after that, and the same for each attempt.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::HeaderValue;

use crate::config::CompressConfig;

/// The same level as for the file sink. Higher levels shrink text only slightly more.
const ZSTD_LEVEL: i32 = 3;

/// The encoded `body`, and the name of the encoding if there is one.
pub(crate) fn encode(body: Vec<u8>, compress: CompressConfig) -> io::Result<(Vec<u8>, Option<HeaderValue>)> {
    let (body, name) = match compress {
        CompressConfig::None => return Ok((body, None)),
        CompressConfig::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&body)?;
            (encoder.finish()?, "gzip")
        }
        CompressConfig::Zstd => (zstd::encode_all(&body[..], ZSTD_LEVEL)?, "zstd"),
    };
    Ok((body, Some(HeaderValue::from_static(name))))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_was_packed_is_unpacked_to_the_same_bytes() {
        let body =
            br#"{"id":"b24_1","data":{"text":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}"#.to_vec();
        assert_eq!(encode(body.clone(), CompressConfig::None).unwrap(), (body.clone(), None));
        let (gzip, name) = encode(body.clone(), CompressConfig::Gzip).unwrap();
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!((unpacked, name.unwrap()), (body.clone(), HeaderValue::from_static("gzip")));
        let (zstd, name) = encode(body.clone(), CompressConfig::Zstd).unwrap();
        assert_eq!(
            (zstd::decode_all(&zstd[..]).unwrap(), name.unwrap()),
            (body, HeaderValue::from_static("zstd"))
        );
    }
}
