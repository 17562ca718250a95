//! Streams of one node, with sockets of this machine.

use std::net::Ipv4Addr;

use fdb::gossip::identity::BootId;

use super::*;

fn process(number: u128) -> Process {
    Process { node: NodeId::new(number), boot: BootId::new(number) }
}

fn on_a_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

fn listener() -> std::net::TcpListener {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

/// Of a node that nobody calls.
fn streams() -> Streams {
    Streams::new(process(1), (Ipv4Addr::LOCALHOST, 1).into(), Mode::Insecure)
}

#[test]
fn who_waits_for_a_call_that_fails_hears_of_its_end() {
    on_a_thread(async {
        let nobody = listener().local_addr().unwrap();
        let (mut streams, node) = (streams(), Some(NodeId::new(2)));
        for _ in 0..QUEUE {
            assert_eq!(streams.send(node, nobody, vec![0]), Ok(()));
        }
        let Err(Unsent::Full(waits_for)) = streams.send(node, nobody, vec![0]) else { panic!() };
        let event = streams.next().await;
        assert!(matches!(event, Some(Event::Ended(stream)) if stream == waits_for));
        assert_eq!(streams.send(node, nobody, vec![0]), Ok(()), "it is called again");
    });
}

#[test]
fn no_stream_is_nothing_to_wait_for() {
    on_a_thread(async {
        let mut streams = streams();
        let own = streams.own;
        assert_eq!(streams.send(Some(NodeId::new(2)), own, vec![0]), Err(Unsent::NoStream));
    });
}

#[test]
fn more_callers_than_may_be_half_open_are_turned_away() {
    on_a_thread(async {
        let listener = listener();
        let at = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (listener, mut streams) = (TcpListener::from_std(listener).unwrap(), streams());
        let mut callers = Vec::new();
        for number in 0..=MAX_HALF_OPEN {
            callers.push(TcpStream::connect(at).await.unwrap());
            let (tcp, from) = listener.accept().await.unwrap();
            assert_eq!(streams.accept(tcp, from), number < MAX_HALF_OPEN, "{number}");
        }
    });
}
