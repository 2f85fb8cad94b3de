//! `:s3` against a server that obeys conditional puts.

use treering::{Registry, connect_in, create_database_in};

use crate::secrets::refused;
use crate::servers::{self, SECRET, Server};
use crate::support::SCHEMA;
use crate::{Place, suites};

struct S3(Server);

impl Place for S3 {
    fn store(&self, name: &str) -> String {
        format!(
            "{{:backend :s3 :bucket \"treering-tests\" :prefix \"tests/{name}\" :region \"us-east-1\" :access-key \"me\" \
              :secret {SECRET:?} :endpoint-override {{:protocol :http :hostname \"127.0.0.1\" :port {}}}}}",
            self.0.port
        )
    }
}

#[test]
fn s3() {
    let Some(server) = servers::s3() else { return };
    let server = S3(server);
    suites::all(&server);
    one_put_for_a_transaction(&server);

    assert_eq!(refused("{:store {:backend :s3 :url \"file:///tmp/x\" :secret \"hunter2\"}}"), "config/unsupported");
    assert_eq!(refused("{:store {:backend :s3 :url \"ftp://x/y\" :secret \"hunter2\"}}"), "config/value");
    assert_eq!(refused("{:store {:backend :s3 :url \"s3://k:hunter2@x/y\"}}"), "config/value");
    assert_eq!(refused("{:store {:backend :s3 :secret \"hunter2\"}}"), "config/missing");
    let nobody = "{:store {:backend :s3 :bucket \"b\" :access-key \"k\" :secret \"hunter2\" \
                   :endpoint-override \"http://127.0.0.1:1\"}}";
    assert_eq!(refused(nobody), "store/io");
    let elsewhere = format!("{{:store {}}}", server.store("x").replace("treering-tests", "no-such-bucket"));
    assert_eq!(refused(&elsewhere), "store/io");
    let odd = format!(
        "{{:store {}}}",
        server.store("x").replace(":region", ":options {:no-such-secret \"hunter2\"} :region")
    );
    assert_eq!(refused(&odd), "store/connect");
}

/// As the server counts.
fn one_put_for_a_transaction(server: &S3) {
    let registry = Registry::with_builtins();
    let config = suites::config(server, "requests");
    create_database_in(&registry, &config).unwrap();
    let conn = connect_in(&registry, &config).unwrap();
    conn.transact(SCHEMA).unwrap();
    let requests = || {
        let log = server.0.log();
        log.lines().filter(|line| line.contains(" HTTP/1.1")).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut seen = requests().len();
    let mut since = || {
        let all = requests();
        let new = all[seen..].to_vec();
        seen = all.len();
        new
    };
    for i in 0..5 {
        conn.transact(format!("[{{:name \"n{i}\"}}]").as_str()).unwrap();
    }
    let made = since();
    assert!(made.len() == 5 && made.iter().all(|line| line.contains("PUT /")), "{made:#?}");
    // The head is known with its tag: to move it is one request.
    conn.flush().unwrap();
    let made = since();
    assert!(made.len() == 3 && made.iter().all(|line| line.contains("PUT /")), "{made:#?}");
    conn.release().unwrap();
    since();
    let conn = connect_in(&registry, &config).unwrap();
    let made = since();
    assert!(made.len() == 5, "{made:#?}");
    conn.release().unwrap();
}
