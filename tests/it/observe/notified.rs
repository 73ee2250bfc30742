//! The notifications to a service manager through `NOTIFY_SOCKET`, as with systemd.

use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::thread;

use b24_client::http;
use reqwest::Url;
use rustix::process::Signal;
use serde_json::json;

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, append, command};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::{PATIENCE, until};
use crate::support::receivers::receiver::{Answer, Receiver};

/// A service manager that only receives notifications.
struct Manager {
    told: Arc<Mutex<Vec<String>>>,
    relay: Relay,
}

impl Manager {
    /// Starts the relay of `setup` with a watchdog interval of `watchdog_us`.
    fn start(setup: &Setup, watchdog_us: u64) -> Self {
        Self::start_with(setup, watchdog_us, "none")
    }

    fn start_with(setup: &Setup, watchdog_us: u64, failpoint: &str) -> Self {
        let path = setup.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&told);
        thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8(message[..length].to_vec()).unwrap();
                listener.lock().unwrap().extend(text.lines().map(str::to_owned));
            }
        });
        let mut run = command();
        run.arg("run").current_dir(setup.folder());
        run.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", watchdog_us.to_string());
        run.env("FAILPOINT", failpoint);
        let relay = Relay::start_command(run, setup.folder(), append(&setup.path("out")).into());
        Self { told, relay }
    }

    fn count(&self, line: &str) -> usize {
        self.told.lock().unwrap().iter().filter(|told| told.starts_with(line)).count()
    }
}

#[tokio::test]
async fn it_is_ready_when_every_source_was_tried_and_not_before() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let setup = Setup::new().with_source(&portal).with_user(&portal, "sales", 2, 1000);
    let setup = setup.with_receiver(&receiver);
    portal.fault(json!({"kind": "stall", "seconds": 3, "user": 2, "method": "im.v2.Event.get"})).await;
    let mut manager = Manager::start(&setup, 100_000);
    until("the first source polls", async || portal.polls().await > 2).await;
    until("the watchdog is fed meanwhile", async || manager.count("WATCHDOG=1") > 2).await;
    assert_eq!(manager.count("READY=1"), 0);
    until("it is ready", async || manager.count("READY=1") == 1).await;
    until("it says what goes on", async || manager.count("STATUS=2 sources, 0 events delivered") > 0).await;
    manager.relay.signal(Signal::HUP);
    until("it says that it reloads", async || {
        manager.count("RELOADING=1") == 1 && manager.count("READY=1") == 2
    })
    .await;
    receiver.script([Answer::Hold]);
    portal.record(1, 1).await;
    until("an attempt is under way", async || receiver.count() == 1).await;
    manager.relay.signal(Signal::TERM);
    until("it says that it stops", async || manager.count("STOPPING=1") == 1).await;
    receiver.release();
    assert_eq!(manager.relay.exit_code().await, 0, "{}", manager.relay.log());
}

#[tokio::test]
async fn it_is_ready_though_every_source_is_refused_and_says_so_at_once() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.post("faults", json!({"kind": "html", "status": 404, "times": 1_000_000})).await;
    let mut manager = Manager::start(&setup, 100_000);
    until("it is ready", async || manager.count("READY=1") == 1).await;
    let told = manager.told.lock().unwrap().clone();
    let ready = told.iter().position(|line| line == "READY=1").unwrap();
    let words = "STATUS=action required: source `support` is refused: `profile`: a web page instead of the portal's answer";
    assert!(told[ready + 1].starts_with(words), "{told:?}");
    assert_eq!(manager.relay.stop().await, 0, "{}", manager.relay.log());
}

#[tokio::test]
async fn a_portal_out_of_reach_is_no_wedge() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    portal.fault(json!({"kind": "close_before", "times": 1_000_000})).await;
    let mut manager = Manager::start(&setup, 100_000);
    until("it is ready all the same", async || manager.count("READY=1") == 1).await;
    let count = manager.count("WATCHDOG=1");
    until("the watchdog is fed", async || manager.count("WATCHDOG=1") > count + 5).await;
    manager.relay.stop().await;
}

#[tokio::test]
async fn a_loop_that_hangs_starves_the_watchdog_and_is_told() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_user(&portal, "support", 1, 100).with_user(&portal, "sales", 2, 100);
    let setup = setup.with_file().with("[http]\nlisten = \"127.0.0.1:0\"");
    let mut manager = Manager::start_with(&setup, 100_000, "pausing:3");
    until("it is ready", async || manager.count("READY=1") == 1).await;
    manager.relay.until_logged("a poll loop hangs: the watchdog is no longer notified").await;
    let fed = manager.count("WATCHDOG=1");
    assert!(fed > 100, "it was fed as long as a pause may take: {fed}");
    let address = manager.relay.log();
    let address = address.split("health are at ").nth(1).unwrap().split_whitespace().next().unwrap();
    let livez = livez_at(address).await;
    // The other loop is active: only one of the two hangs.
    assert!(livez.starts_with("503") && livez.contains("the poll loop of `s"), "{livez}");
    assert_eq!(manager.count("WATCHDOG=1"), fed, "it was fed");
    manager.relay.kill();
}

async fn livez_at(address: &str) -> String {
    let url: Url = address.parse().unwrap();
    let answer = http::build(&url, PATIENCE).unwrap().get(url.join("livez").unwrap()).send().await;
    let answer = answer.unwrap();
    format!("{} {}", answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_manager_that_does_not_listen_holds_up_nothing() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file().with("[log]\nlevel = \"debug\"");
    let path = setup.path("notify");
    let _deaf = UnixDatagram::bind(&path).unwrap();
    let mut run = command();
    run.arg("run").current_dir(setup.folder());
    run.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "30");
    let mut relay = Relay::start_command(run, setup.folder(), append(&setup.path("out")).into());
    relay.until_logged("the service manager does not listen: a message is left out").await;
    portal.record(1, 3).await;
    until("three are filed", async || setup.filed_count() == 3).await;
    assert_eq!(relay.stop().await, 0, "{}", relay.log());
}
