//! The crate `aws-ssm-bridge` as a program: attaches to a session, and does what it is told.
//!
//! Its one argument is the `session` of ExecuteCommand's answer. Standard input has JSON lines: `{"send": "text"}`,
//! `{"resize": [columns, rows]}`, `{"terminate": true}`. What the session says goes to standard output as it is, and in
//! the end why it closed to standard error.

use std::error::Error;

use aws_ssm_bridge::{EndpointPolicy, Session, SessionConfig};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let answer: Value =
        serde_json::from_str(&std::env::args().nth(1).ok_or("the session's JSON is missing")?)?;
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    let config = SessionConfig {
        endpoint_policy: EndpointPolicy::AllowAny,
        ..SessionConfig::new("ecs:cluster_task_runtime")
    };
    let session = Session::attach(text("sessionId"), text("streamUrl"), text("tokenValue"), config).await?;
    let mut output = session.output();
    let mut stdout = tokio::io::stdout();
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let mut obeys = true;
    loop {
        tokio::select! {
            chunk = output.next() => match chunk {
                Some(chunk) => {
                    stdout.write_all(&chunk).await?;
                    stdout.flush().await?;
                }
                None => break,
            },
            order = orders.next_line(), if obeys => match order? {
                Some(order) => obey(&session, &serde_json::from_str(&order)?).await?,
                None => obeys = false,
            },
        }
    }
    session.closed().await;
    eprintln!("{:?}", session.close_reason());
    // A read of standard input may be under way, and would be waited for.
    std::process::exit(0);
}

async fn obey(session: &Session, order: &Value) -> Result<(), Box<dyn Error>> {
    if let Some(text) = order["send"].as_str() {
        session.send(text.as_bytes().to_vec()).await?;
    }
    if let [columns, rows] = order["resize"].as_array().map_or(&[][..], Vec::as_slice) {
        let number = |value: &Value| value.as_u64().and_then(|value| u16::try_from(value).ok());
        let size = number(columns).zip(number(rows)).ok_or("a size is two numbers")?;
        session.send_terminal_size(size.0, size.1).await?;
    }
    if order["terminate"].as_bool() == Some(true) {
        session.terminate().await?;
    }
    Ok(())
}
