//! A real browser for one test: Chromium, driven by chromedriver. The browser and all its files are removed at the end
//! of the test, even after a failure.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

use b24_client::http;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Client, Url};
use rustix::process::geteuid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::support::process::relay::append;
use crate::support::process::waiting::{PATIENCE, until};

/// The driver and its children form a process group. When the test ends, `read` reaches the end of its input, and the
/// group is killed.
const DRIVER: &str = "(chromedriver --port=0; echo over: $?) & read -r _; kill -KILL 0";

const LISTENS: &str = "ChromeDriver was started successfully on port ";

/// The browser sends nothing to another machine, whatever a page requests.
const ARGS: [&str; 14] = [
    "--headless",
    "--disable-gpu",
    "--disable-lcd-text",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
];

/// One browser at a time: each takes a core and several hundred megabytes.
static TURN: Mutex<()> = Mutex::const_new(());

pub(crate) struct Browser {
    driver: Child,
    session: Url,
    client: Client,
    folder: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// A new browser with an empty profile; `None` if there is no browser. This is reported once, and is a failure with
    /// `BROWSER_TESTS=required`.
    #[expect(clippy::disallowed_methods, reason = "how a script tells these tests that there must be one")]
    #[expect(clippy::explicit_write, reason = "past what a test's output is captured with")]
    pub(crate) async fn start() -> Option<Self> {
        static TOLD: Once = Once::new();
        let turn = TURN.lock().await;
        match Self::try_start(turn).await {
            Ok(browser) => Some(browser),
            Err(why) if env::var("BROWSER_TESTS").is_ok_and(|value| value == "required") => {
                panic!("no browser: {why}")
            }
            Err(why) => {
                let need = "skipped: the tests of the page need Chromium and chromedriver";
                let hint = "Debian: apt-get install chromium-driver";
                TOLD.call_once(|| writeln!(io::stderr(), "\n{need} ({hint}): {why}").unwrap());
                None
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "where programs are looked for")]
    async fn try_start(turn: MutexGuard<'static, ()>) -> Result<Self, String> {
        let path = env::var_os("PATH").unwrap_or_default();
        if !env::split_paths(&path).any(|folder| folder.join("chromedriver").is_file()) {
            return Err("there is no chromedriver in PATH".to_owned());
        }
        let folder = TempDir::new().unwrap().keep();
        let log = folder.join("log");
        let mut command = Command::new("sh");
        command.args(["-c", DRIVER]).env("HOME", &folder).env("TMPDIR", &folder).stdin(Stdio::piped());
        command.stdout(append(&log)).stderr(append(&log)).process_group(0);
        let driver = command.spawn().unwrap();
        let nowhere: Url = "http://127.0.0.1/".parse().unwrap();
        let client = http::build(&nowhere, PATIENCE).unwrap();
        let mut browser = Self { driver, session: nowhere, client, folder, _turn: turn };
        browser.begin(&log).await?;
        Ok(browser)
    }

    async fn begin(&mut self, log: &Path) -> Result<(), String> {
        let mut told = String::new();
        until("chromedriver listens", async || {
            told = fs::read_to_string(log).unwrap();
            told.lines()
                .any(|line| line.starts_with("over: ") || (line.starts_with(LISTENS) && line.ends_with('.')))
        })
        .await;
        let port = told.lines().find_map(|line| line.strip_prefix(LISTENS)?.strip_suffix('.'));
        let port = port.ok_or_else(|| format!("chromedriver does not start: {}", told.replace('\n', " ")))?;
        let sessions: Url = format!("http://127.0.0.1:{port}/session").parse().unwrap();
        let mut args: Vec<String> = ARGS.map(str::to_owned).into();
        args.push(format!("--user-data-dir={}", self.folder.join("profile").display()));
        if geteuid().is_root() {
            args.push("--no-sandbox".to_owned());
        }
        let wanted = json!({"goog:chromeOptions": {"args": args}, "goog:loggingPrefs": {"browser": "ALL"}});
        let answer = self.post(sessions.clone(), json!({"capabilities": {"alwaysMatch": wanted}})).await;
        let answer = answer.map_err(|error| format!("it does not start: {}", error["message"]))?;
        let id = answer["sessionId"].as_str().unwrap();
        self.session = format!("{sessions}/{id}/").parse().unwrap();
        Ok(())
    }

    /// The answer of the driver, or its error.
    async fn post(&self, url: Url, body: Value) -> Result<Value, Value> {
        let request = self.client.post(url).header("content-type", "application/json");
        let response = request.body(body.to_string()).send().await.unwrap();
        let is_success = response.status().is_success();
        let mut answer: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        let value = answer["value"].take();
        if is_success { Ok(value) } else { Err(value) }
    }

    async fn order(&self, command: &str, body: Value) -> Value {
        let answer = self.post(self.session.join(command).unwrap(), body).await;
        answer.unwrap_or_else(|error| panic!("{command}: {}", error["message"]))
    }

    /// Opens `url` and stops later reloads: a page that refreshes would be gone in the middle of a test.
    pub(crate) async fn open(&self, url: &str) {
        self.order("url", json!({"url": url})).await;
        self.devtools("Page.stopLoading", json!({})).await;
    }

    /// The result on the page of a function with this body and this argument.
    pub(crate) async fn ask(&self, body: &str, argument: Value) -> Value {
        self.order("execute/sync", json!({"script": body, "args": [argument]})).await
    }

    /// A command of the Chrome `DevTools` protocol.
    pub(crate) async fn devtools(&self, command: &str, params: Value) -> Value {
        self.order("goog/cdp/execute", json!({"cmd": command, "params": params})).await
    }

    /// The new messages of the browser's console.
    pub(crate) async fn console(&self) -> Vec<Value> {
        let told = self.order("se/log", json!({"type": "browser"})).await;
        told.as_array().unwrap().clone()
    }

    /// Sets the size of the window.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Saves a screenshot of the whole page.
    pub(crate) async fn photograph(&self, path: &Path) {
        let height = self.ask("return document.documentElement.scrollHeight", Value::Null).await;
        let width = self.ask("return document.documentElement.clientWidth", Value::Null).await;
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let params = json!({"captureBeyondViewport": true, "clip": clip});
        let picture = self.devtools("Page.captureScreenshot", params).await;
        let bytes = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.driver.stdin.take());
        // It may have exited already.
        self.driver.wait().ok();
        // The last process of the group may still write to the folder. `drop` cannot await, and the process is no child
        // of this one, so nothing but the folder shows when it has ended.
        let begin = Instant::now();
        while fs::remove_dir_all(&self.folder).is_err() && begin.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
        }
    }
}
