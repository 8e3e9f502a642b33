use std::net::SocketAddr;

use longshore_protocol::ecs;
use longshore_protocol::sigv4::{Authorization, Credentials, Request, signature};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::*;

/// Answers one connection after the other with these bytes, and gives back what was asked.
async fn server(answers: Vec<String>) -> (SocketAddr, JoinSet<Vec<String>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut during = JoinSet::new();
    during.spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            // The body is one JSON object, the last thing of the request.
            while !request.ends_with(b"}") {
                let mut part = [0; 4096];
                let length = stream.read(&mut part).await.unwrap();
                request.extend_from_slice(&part[..length]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            asked.push(String::from_utf8(request).unwrap());
        }
        asked
    });
    (address, during)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

fn client(address: SocketAddr) -> Client {
    let endpoint: url::Url = format!("http://{address}").parse().unwrap();
    Client::new(Settings {
        ecs: endpoint.clone(),
        ssm: endpoint,
        region: "eu-west-1".into(),
        credentials: Credentials {
            access_key_id: "AKID".into(),
            secret_access_key: "secret".into(),
            session_token: None,
        },
        cluster: "default".into(),
        ca_bundle: None,
        up_dir: None,
    })
    .unwrap()
}

async fn list(client: &Client) -> Result<ecs::ListClustersResponse, ApiError> {
    client
        .ecs("ListClusters", &ecs::ListClustersRequest::default())
        .await
}

#[tokio::test]
async fn a_call_is_signed_as_a_server_checks_it() {
    let (address, mut server) = server(vec![answer("200 OK", "", r#"{"clusterArns":["a"]}"#)]).await;
    let clusters = list(&client(address)).await.unwrap();
    assert_eq!(clusters.cluster_arns, Some(vec!["a".to_owned()]));
    let asked = server.join_next().await.unwrap().unwrap().remove(0);
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    let headers: Vec<_> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .collect();
    let value = |name: &str| headers.iter().find(|(known, _)| *known == name).unwrap().1;
    assert_eq!(
        value("x-amz-target"),
        "AmazonEC2ContainerServiceV20141113.ListClusters"
    );
    let authorization: Authorization = value("authorization").parse().unwrap();
    assert_eq!(authorization.access_key_id, "AKID");
    assert_eq!(authorization.scope.region, "eu-west-1");
    let signed: Vec<_> = authorization
        .signed_headers
        .iter()
        .map(|name| (name.as_str(), value(name)))
        .collect();
    let request = Request {
        method: "POST",
        path: "/",
        query: "",
        headers: &signed,
        body: body.as_bytes(),
    };
    let text = request.string_to_sign(value("x-amz-date"), &authorization.scope);
    assert_eq!(
        signature("secret", &authorization.scope, &text),
        authorization.signature
    );
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_is_not_tried_again() {
    let body =
        r#"{"__type":"x#InvalidSignatureException","message":"The request signature we calculated …"}"#;
    let (address, _server) = server(vec![answer("400 Bad Request", "", body)]).await;
    let error = list(&client(address)).await.unwrap_err();
    assert!(
        error.to_string().contains("take AWS_SECRET_ACCESS_KEY from"),
        "{error}"
    );
    assert!(!error.is_silence());
}

#[tokio::test]
async fn a_server_that_fails_is_asked_again() {
    let failed = answer("500 Internal Server Error", "", r#"{"__type":"ServerException"}"#);
    let (address, _server) = server(vec![failed, answer("200 OK", "", "{}")]).await;
    list(&client(address)).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_set_right_for_the_next_try() {
    let body =
        r#"{"__type":"InvalidSignatureException","message":"Signature expired: a is now earlier than b"}"#;
    let skewed = answer("400 Bad Request", "date: Fri, 01 Jan 2100 00:00:00 GMT\r\n", body);
    let (address, mut server) = server(vec![skewed, answer("200 OK", "", "{}")]).await;
    list(&client(address)).await.unwrap();
    let asked = server.join_next().await.unwrap().unwrap();
    assert!(asked[1].contains("x-amz-date: 21000101T0000"), "{}", asked[1]);
}

#[tokio::test]
async fn nobody_there_is_silence() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = list(&client(address)).await.unwrap_err();
    assert!(
        error.is_silence() && error.to_string().contains("longshore up"),
        "{error}"
    );
}

#[tokio::test]
async fn something_else_at_the_port_is_told_apart() {
    let (address, _server) = server(vec![answer("404 Not Found", "", "<html>}")]).await;
    let error = list(&client(address)).await.unwrap_err();
    assert!(
        error.to_string().contains("does not speak the AWS API"),
        "{error}"
    );
}

#[test]
fn a_certificate_that_is_not_trusted_is_told_from_silence() {
    let fault = || rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let wrapped = std::io::Error::other(std::io::Error::other(fault()));
    assert_eq!(tls_fault(&wrapped), Some(fault().to_string()));
    assert_eq!(tls_fault(&fault()), Some(fault().to_string()));
    assert_eq!(
        tls_fault(&std::io::Error::from(std::io::ErrorKind::ConnectionRefused)),
        None
    );
}
