//! The demo, as a newcomer runs it: the binary itself, its server asked over HTTP, its results beside those of a program that
//! shares nothing with it (`tests/oracle/weather.py`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;
mod binary;
mod expected;

use std::time::Duration;

use binary::Demo;

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_finds_what_the_oracle_finds() {
    let data = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(data.path()).await;
    demo.wait_until_done().await;
    expected::compare_all(&demo).await;
    assert_eq!(demo.terminate().await, Some(0), "a graceful stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_goes_on_and_finds_the_same() {
    let data = tempfile::tempdir().unwrap();
    for readings in [500, 9_000, 20_000] {
        let demo = Demo::start(data.path()).await;
        demo.wait_for_readings(readings).await;
        demo.kill().await;
    }
    // And once more while the windows close, or a little later.
    let demo = Demo::start(data.path()).await;
    demo.wait_for_readings(26_115).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    demo.kill().await;

    let mut demo = Demo::start(data.path()).await;
    demo.wait_until_done().await;
    expected::compare_all(&demo).await;
    demo.kill().await;
}
