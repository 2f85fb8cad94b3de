//! `:postgres` against the real server.

use treering::{Registry, connect_in, create_database_in};

use crate::secrets::{Heard, refused};
use crate::servers::{self, SECRET, Server};
use crate::support::SCHEMA;
use crate::{Place, suites, writers};

struct Postgres(Server);

impl Place for Postgres {
    fn store(&self, name: &str) -> String {
        format!(
            "{{:backend :postgres :host \"127.0.0.1\" :port {} :user \"treering\" :password {SECRET:?} :dbname \"postgres\" \
              :table {name:?}}}",
            self.0.port
        )
    }
}

#[test]
fn postgres() {
    let Some(server) = servers::postgres() else { return };
    let server = Postgres(server);
    suites::all(&server);
    one_statement_for_a_transaction(&server);

    let port = server.0.port;
    let url = format!("postgresql://treering:{SECRET}@127.0.0.1:{port}/postgres");
    let with = |key: &str, url: &str| format!("{{:store {{:backend :postgres {key} {url:?} :table \"urls\"}}}}");
    let registry = Registry::with_builtins();
    let open = |text: &str| registry.create_store(&writers::config(text)).unwrap();
    open(&with(":url", &url)).put("k", vec![1]).unwrap();
    let jdbc = format!("jdbc:postgresql://127.0.0.1:{port}/postgres?user=treering&password={SECRET}");
    assert_eq!(open(&with(":jdbcUrl", &jdbc)).get("k", None).unwrap(), Some(vec![1]));
    assert!(open(&with(":url", &url)).capabilities().durable);
    let careless = format!("{url}?options=-c%20synchronous_commit%3Doff");
    let (store, heard) = Heard::during(|| open(&with(":url", &careless)));
    assert!(!store.capabilities().durable);
    assert!(heard.contains("synchronous_commit off"), "{heard}");

    assert_eq!(refused(&with(":url", &url.replace("of-the-tests", "is-wrong"))), "store/denied");
    assert_eq!(refused(&with(":url", "postgresql://u:hunter2@127.0.0.1:1/x")), "store/connect");
    assert_eq!(refused(&with(":url", "postgresql://u:hunter2@127.0.0.1:1/x?sslmode=require")), "config/unsupported");
    assert_eq!(refused(&with(":url", "postgresql://u:hunter2@127.0.0.1:port/x")), "config/value");
    let table = server.store("x\\\"; DROP TABLE urls");
    assert_eq!(refused(&format!("{{:store {table}}}")), "config/value");
    assert_eq!(refused("{:store {:backend :postgres :password \"hunter2\" :hots \"x\"}}"), "config/unknown-key");
}

/// As the server counts.
fn one_statement_for_a_transaction(server: &Postgres) {
    let registry = Registry::with_builtins();
    let config = suites::config(server, "statements");
    create_database_in(&registry, &config).unwrap();
    let conn = connect_in(&registry, &config).unwrap();
    conn.transact(SCHEMA).unwrap();
    let statements = || {
        let log = server.0.log();
        let is_statement = |line: &&str| line.contains("LOG:  execute") || line.contains("LOG:  statement");
        log.lines().filter(is_statement).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = statements().len();
    for i in 0..5 {
        conn.transact(format!("[{{:name \"n{i}\"}}]").as_str()).unwrap();
    }
    let made = statements();
    let made = &made[before..];
    assert_eq!(made.len(), 5, "{made:#?}");
    assert!(made.iter().all(|line| line.contains("INSERT INTO")), "{made:#?}");
    conn.release().unwrap();
}
