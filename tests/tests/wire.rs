//! Stories told on the wire: what a kernel answers, and what it must survive.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use spinbot_tests::{DELIMITER, Kernel, Request, spinbot};

const KEY: &str = "a2c4e6f8-wire";

#[tokio::test]
async fn kernel_info_is_answered_on_both_channels_and_the_heart_beats() -> Result<()> {
    for key in [KEY, ""] {
        let kernel = Kernel::start(key)?;
        for channel in ["shell", "control"] {
            let info = kernel.dealer(channel).await?.kernel_info().await?;
            ensure!(info["status"] == "ok", "{channel}: {info}");
            ensure!(info["language_info"]["file_extension"] == ".rs", "{channel}: {info}");
            let version = info["protocol_version"].as_str().context("a version")?;
            ensure!(version.starts_with("5."), "protocol {version}");
        }
        ensure!(kernel.heartbeat(b"ping").await? == b"ping", "the heart must echo");
    }
    Ok(())
}

#[tokio::test]
async fn busy_and_idle_carry_the_request_they_belong_to() -> Result<()> {
    let kernel = Kernel::start(KEY)?;
    let mut iopub = kernel.iopub().await?;
    // A subscription travels on its own: the first answered request whose status arrives proves it took hold.
    let mut shell = kernel.dealer("shell").await?;
    let mut control = kernel.dealer("control").await?;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    for dealer in [&mut shell, &mut control] {
        let request = Request::new("kernel_info_request", &json!({}));
        dealer.ask(&request).await?;
        let states: Vec<_> = iopub
            .until_idle(&request.id)
            .await?
            .into_iter()
            .filter(|message| message.msg_type == "status")
            .map(|message| message.content["execution_state"].clone())
            .collect();
        ensure!(states == [json!("busy"), json!("idle")], "states were {states:?}");
    }
    Ok(())
}

#[tokio::test]
async fn hostile_frames_are_refused_and_the_next_request_is_answered() -> Result<()> {
    let good = || Request::new("kernel_info_request", &json!({}));
    let spoilt = || Request::new("execute_request", &json!({"code": "std::process::exit(3)"}));
    let signed = |request: Request| request.frames(KEY);
    let unsigned = spoilt().frames("")?;
    let mut forged = spoilt().frames("another key")?;
    let mut cut_signature = spoilt().frames(KEY)?;
    cut_signature[1].truncate(10);
    let mut changed = spoilt().frames(KEY)?;
    changed[5] = json!({"code": "std::process::abort()"}).to_string().into_bytes();
    forged.push(b"buffer".to_vec());
    let whole = good().frames(KEY)?;

    let mut cases: Vec<(String, Vec<Vec<u8>>)> = [
        ("a forged signature", forged),
        ("no signature", unsigned),
        ("half a signature", cut_signature),
        ("content changed after signing", changed),
        ("one empty frame", vec![vec![]]),
        ("many empty frames", vec![vec![]; 12]),
        ("only a delimiter", vec![DELIMITER.to_vec()]),
        ("two delimiters", vec![DELIMITER.to_vec(), DELIMITER.to_vec()]),
        ("bytes that are no text", vec![vec![0xff, 0xfe, 0x00], vec![0xc3, 0x28]]),
        ("10 MB without a delimiter", vec![vec![b'x'; 10 << 20]]),
        (
            "10 MB of signature",
            vec![DELIMITER.to_vec(), vec![b'0'; 10 << 20], vec![], vec![], vec![], vec![]],
        ),
        ("10 MB of content that is no JSON", signed(good().with_content(vec![b'['; 10 << 20]))?),
        ("a header that is no JSON", signed(good().with_header("{"))?),
        ("a header that is a list", signed(good().with_header("[1, 2]"))?),
        ("a header without fields", signed(good().with_header("{}"))?),
        ("a header with wrong types", signed(good().with_header(r#"{"msg_id": 1, "msg_type": []}"#))?),
        ("a type nobody knows", signed(Request::new("make_coffee_request", &json!({})))?),
        ("a reply sent as a request", signed(Request::new("execute_reply", &json!({"status": "ok"})))?),
        ("execute_request without code", signed(Request::new("execute_request", &json!({})))?),
        ("content that is no JSON", signed(spoilt().with_content("{\"code\": "))?),
        ("content that is no UTF-8", signed(spoilt().with_content(vec![0xff, 0xff]))?),
    ]
    .map(|(name, frames)| (name.to_owned(), frames))
    .into();
    cases.extend((0..whole.len()).map(|n| (format!("only {n} frames"), whole[..n].to_vec())));

    let kernel = Kernel::start(KEY)?;
    for channel in ["shell", "control"] {
        for (name, frames) in cases.iter().filter(|(_, frames)| !frames.is_empty()) {
            let mut sender = kernel.dealer(channel).await?;
            sender.send_frames(frames.clone()).await.with_context(|| name.clone())?;
            let mut witness = kernel.dealer(channel).await?;
            witness.kernel_info().await.with_context(|| format!("{channel} after {name}"))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_forged_request_gets_no_answer_and_the_same_connection_goes_on() -> Result<()> {
    let kernel = Kernel::start(KEY)?;
    let mut shell = kernel.dealer("shell").await?;
    for _ in 0..50 {
        shell.send_frames(Request::new("kernel_info_request", &json!({})).frames("not the key")?).await?;
        // `ask` fails when the reply that comes belongs to the forged request.
        shell.kernel_info().await?;
    }
    Ok(())
}

#[tokio::test]
async fn shutdown_is_answered_and_leaves_no_process_behind() -> Result<()> {
    for restart in [false, true] {
        let mut kernel = Kernel::start(KEY)?;
        let mut control = kernel.dealer("control").await?;
        control.kernel_info().await?;
        let children = descendants(kernel.pid());
        let reply = control.ask(&Request::new("shutdown_request", &json!({"restart": restart}))).await?;
        ensure!(reply.msg_type == "shutdown_reply" && reply.content["restart"] == restart, "{reply:?}");
        let status = kernel.ended().await?;
        ensure!(status.success(), "ended with {status}");
        let left: Vec<_> = children.into_iter().filter(|pid| alive(*pid)).collect();
        ensure!(left.is_empty(), "children {left:?} outlived the kernel");
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_file_that_cannot_be_used_is_told_in_a_sentence() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let ports = json!({
        "transport": "tcp", "ip": "127.0.0.1", "signature_scheme": "hmac-sha256", "key": KEY,
        "shell_port": port, "control_port": port, "iopub_port": port, "stdin_port": port, "hb_port": port,
    });
    let mut scheme = ports.clone();
    scheme["signature_scheme"] = json!("hmac-md5");
    let cases = [
        ("missing", None),
        ("empty", Some(String::new())),
        ("no JSON", Some("{\"transport\":".to_owned())),
        ("no ports", Some("{\"transport\": \"tcp\", \"ip\": \"127.0.0.1\"}".to_owned())),
        ("a port too high", Some(ports.to_string().replace(&port.to_string(), "70000"))),
        ("ports that are taken", Some(ports.to_string())),
        ("a scheme nobody signs with", Some(scheme.to_string())),
    ];
    for (name, content) in cases {
        let file = folder.path().join(format!("{}.json", name.replace(' ', "-")));
        if let Some(content) = content {
            std::fs::write(&file, content)?;
        }
        let path = file.to_str().context("a path that is text")?;
        let (code, said) = spinbot(&["kernel", "-f", path]).await.context(name)?;
        ensure!(matches!(code, Some(1 | 2)), "{name}: ended with {code:?}: {said}");
        ensure!(!said.contains("panicked") && !said.trim().is_empty(), "{name}: said {said:?}");
        ensure!(said.trim().lines().count() <= 3, "{name}: said too much: {said}");
    }
    Ok(())
}

/// Process ids below `pid`, by asking `/proc`.
fn descendants(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut all = Vec::new();
    for child in children.split_whitespace().filter_map(|word| word.parse().ok()) {
        all.push(child);
        all.extend(descendants(child));
    }
    all
}

/// Whether a process exists and is no zombie.
fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}
