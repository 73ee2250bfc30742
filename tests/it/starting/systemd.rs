//! `init --systemd`: the folders and the credentials of the unit, below another root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, finished, stderr, stdout};

const PACKAGED: &str = include_str!("../../../deploy/debian/b24relay.toml");
const UNIT: &str = include_str!("../../../deploy/systemd/b24relay.service");

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_unit_gets_its_configuration_and_every_secret_as_a_credential() {
    let (portal, folder) = (Portal::start().await, TempDir::new().unwrap());
    let etc = folder.path().join("root/etc/b24relay");
    fs::create_dir_all(&etc).unwrap();
    fs::write(etc.join("b24relay.toml"), PACKAGED).unwrap();
    fs::write(folder.path().join("given.url"), portal.webhook_url(1)).unwrap();
    let args = ["init", "--webhook-url-file", "given.url", "--url", "http://127.0.0.1:9/", "--yes"];
    let args = [&args[..], &["--systemd", "--root", "root"]].concat();
    let made = finished(&args, folder.path()).await;
    assert_eq!(code(&made), 0, "{}{}", stdout(&made), stderr(&made));
    assert!(stdout(&made).contains("replaces the unchanged one of the package"), "{}", stdout(&made));
    assert!(stdout(&made).contains("systemctl enable --now b24relay"), "{}", stdout(&made));

    let config = fs::read_to_string(etc.join("b24relay.toml")).unwrap();
    assert!(config.contains("state = \"/var/lib/b24relay/b24relay.db\""), "{config}");
    // The daemon's user reads it; the secrets are root's.
    assert_eq!(mode(&etc.join("b24relay.toml")), 0o644);
    let drop_in = folder.path().join("root/etc/systemd/system/b24relay.service.d/secrets.conf");
    let handed_over = format!("{UNIT}{}", fs::read_to_string(&drop_in).unwrap());
    assert_eq!((mode(&drop_in), mode(drop_in.parent().unwrap())), (0o644, 0o755));
    for name in ["support.url", "crm.url", "crm.secrets"] {
        assert_eq!(mode(&etc.join(name)), 0o600, "{name}");
        assert!(config.contains(&format!("= \"{name}\"")), "{name}: {config}");
        let line = format!("\nLoadCredential={name}:/etc/b24relay/{name}\n");
        assert!(handed_over.contains(&line), "{name}: {handed_over}");
    }

    let again = finished(&args, folder.path()).await;
    assert_eq!(code(&again), 64, "{}", stderr(&again));
    assert!(stderr(&again).contains("exists already"), "{}", stderr(&again));
    assert_eq!(fs::read_to_string(etc.join("b24relay.toml")).unwrap(), config);
}

#[tokio::test]
async fn a_configuration_of_the_package_that_somebody_has_changed_stays() {
    let (portal, folder) = (Portal::start().await, TempDir::new().unwrap());
    let etc = folder.path().join("root/etc/b24relay");
    fs::create_dir_all(&etc).unwrap();
    let changed = format!("{PACKAGED}\n# mine\n");
    fs::write(etc.join("b24relay.toml"), &changed).unwrap();
    fs::write(folder.path().join("given.url"), portal.webhook_url(1)).unwrap();
    let args = ["init", "--webhook-url-file", "given.url", "--yes", "--systemd", "--root", "root"];
    let refused = finished(&args, folder.path()).await;
    assert_eq!(code(&refused), 64, "{}", stderr(&refused));
    assert_eq!(fs::read_to_string(etc.join("b24relay.toml")).unwrap(), changed);
    assert_eq!(fs::read_dir(&etc).unwrap().count(), 1);
}
