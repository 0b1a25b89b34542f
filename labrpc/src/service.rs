//! The receiving side of an RPC. A [`Service`] is a bundle of named handlers; a [`Server`] is a bundle of services.

use crate::observer::{self, Contents};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An object whose methods can be called over the network (Go: the argument of `labrpc.MakeService`).
///
/// Go finds the handlers by reflection. In Rust the object names them, and a handler with a wrong signature does not
/// compile.
pub trait Receiver {
    /// Makes the service with this object's handlers: calls [`Service::new`], and [`Service::method`] for each handler.
    fn service(self: Arc<Self>) -> Service;
}

/// Makes the service of an object (Go: `labrpc.MakeService`).
pub fn make_service<R: Receiver>(receiver: Arc<R>) -> Service {
    receiver.service()
}

/// Takes the encoded arguments, and returns the encoded reply.
type Handler = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// A named bundle of handlers: "Raft.AppendEntries" calls the handler "AppendEntries" of the service "Raft".
pub struct Service {
    name: String,
    methods: BTreeMap<String, Handler>,
}

impl Service {
    /// A service with this name and no handlers yet.
    pub fn new(name: &str) -> Service {
        Service { name: name.to_string(), methods: BTreeMap::new() }
    }

    /// Adds a handler. The handler gets the arguments, and a reply at its default, which it fills in.
    ///
    /// A handler runs on a thread of its own, and may run many times at once. It may block, but it must return when its
    /// server is killed.
    ///
    /// # Panics
    /// If the service has a handler of this name.
    pub fn method<R, A, Reply>(
        mut self,
        name: &str,
        receiver: &Arc<R>,
        handler: impl Fn(&R, &A, &mut Reply) + Send + Sync + 'static,
    ) -> Service
    where
        R: Send + Sync + 'static,
        A: DeserializeOwned,
        Reply: Serialize + DeserializeOwned + Default,
    {
        let receiver = receiver.clone();
        let svc_meth = format!("{}.{name}", self.name);
        let contents = Contents { args: labgob::describe::<A>, reply: labgob::describe::<Reply> };
        observer::offers(&svc_meth, contents);
        let run: Handler = Box::new({
            let svc_meth = svc_meth.clone();
            move |args| {
                let args = labgob::decode(args).unwrap_or_else(|e| {
                    panic!("{svc_meth}: the caller's arguments are not what the handler takes: {e}")
                });
                let mut reply = Reply::default();
                handler(&receiver, &args, &mut reply);
                labgob::encode(&reply)
                    .unwrap_or_else(|e| panic!("{svc_meth}: the reply cannot be encoded: {e}"))
            }
        });
        let old = self.methods.insert(name.to_string(), run);
        assert!(old.is_none(), "labrpc: the service has two handlers named {svc_meth}");
        self
    }
}

/// A bundle of services that share one name on the network, such as a key/value server and its Raft peer (Go:
/// `labrpc.Server`).
#[derive(Default)]
pub struct Server {
    services: BTreeMap<String, Service>,
    count: AtomicUsize,
}

impl Server {
    /// A server with no services yet (Go: `labrpc.MakeServer`).
    pub fn new() -> Server {
        Server::default()
    }

    /// Adds a service.
    ///
    /// # Panics
    /// If the server has a service of this name.
    pub fn add_service(&mut self, service: Service) {
        let name = service.name.clone();
        let old = self.services.insert(name.clone(), service);
        assert!(old.is_none(), "labrpc: the server has two services named {name}");
    }

    /// The number of requests that have reached this server.
    pub(crate) fn get_count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Runs the handler `svc_meth` ("Raft.AppendEntries") and returns its encoded reply.
    ///
    /// # Panics
    /// If there is no such service or method. The message lists the handlers that there are.
    pub(crate) fn dispatch(&self, svc_meth: &str, args: &[u8]) -> Vec<u8> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let (service, method) = svc_meth.split_once('.').unwrap_or_else(|| {
            panic!("labrpc: {svc_meth:?} is not of the form \"Service.Method\"; there are {}", self.choices())
        });
        let Some(service) = self.services.get(service) else {
            panic!("labrpc: unknown service {service} in {svc_meth}; there are {}", self.choices());
        };
        let Some(handler) = service.methods.get(method) else {
            panic!("labrpc: unknown method {method} in {svc_meth}; there are {}", self.choices());
        };
        handler(args)
    }

    fn choices(&self) -> String {
        let names: Vec<String> = (self.services.values())
            .flat_map(|s| s.methods.keys().map(move |method| format!("{}.{method}", s.name)))
            .collect();
        if names.is_empty() { "none on this server".to_string() } else { names.join(", ") }
    }
}
