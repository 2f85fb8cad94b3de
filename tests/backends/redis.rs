//! `:redis` against the real server.

use treering::Registry;

use crate::secrets::{Heard, refused};
use crate::servers::{self, SECRET, Server};
use crate::{Place, suites, writers};

impl Place for Server {
    fn store(&self, name: &str) -> String {
        format!("{{:backend :redis :uri \"redis://127.0.0.1:{}/3\" :password {SECRET:?} :prefix {name:?}}}", self.port)
    }
}

#[test]
fn redis() {
    let Some(server) = servers::redis(true) else { return };
    suites::all(&server);

    let port = server.port;
    let wrong =
        format!("{{:store {{:backend :redis :host \"127.0.0.1\" :port {port} :password \"hunter2-is-wrong\"}}}}");
    assert_eq!(refused(&wrong), "store/connect");
    assert_eq!(refused("{:store {:backend :redis :uri \"redis://:hunter2@127.0.0.1:1/\"}}"), "store/connect");
    assert_eq!(refused("{:store {:backend :redis :uri \"rediss://:hunter2@127.0.0.1:1/\"}}"), "config/unsupported");
    assert_eq!(refused("{:store {:backend :redis :uri \"http://:hunter2@127.0.0.1:1/\"}}"), "config/value");
    assert_eq!(refused("{:store {:backend :redis :password \"hunter2\"}}"), "config/missing");
    assert_eq!(refused("{:store {:backend :redis :host \"h\" :password hunter2}}"), "config/type");

    // Stores of other prefixes are left alone, whatever characters the prefix has.
    let registry = Registry::with_builtins();
    let open = |name: &str| registry.create_store(&suites::config(&server, name)).unwrap();
    let (one, two) = (open("a*"), open("ab"));
    one.put("k", vec![1]).unwrap();
    two.put("k", vec![2]).unwrap();
    assert_eq!(one.list("").unwrap(), ["k"]);
    registry.delete_store(&suites::config(&server, "a*")).unwrap();
    assert_eq!((one.get("k", None).unwrap(), two.get("k", None).unwrap()), (None, Some(vec![2])));
    assert!(one.capabilities().durable);
}

#[test]
fn a_redis_that_may_lose_transactions_is_told() {
    let Some(server) = servers::redis(false) else { return };
    let config = writers::config(&format!("{{:store {}}}", server.store("x")));
    let (store, heard) = Heard::during(|| Registry::with_builtins().create_store(&config).unwrap());
    assert!(!store.capabilities().durable);
    assert!(heard.contains("appendfsync always"), "{heard}");
}
