//! One session, from its first socket to its end.
//!
//! ```text
//!            ┌─ no client, or no agent, in time ─┐
//!  waiting ──▶ both there ◀──▶ one of them lost ──▶ to end ──▶ over
//!                  └── the agent says so ─────────────┴──────────▲
//! ```
//!
//! Invariants: one task owns both sockets; a newer socket takes the older one's place; each time that there is a client
//! and an agent anew, the agent is told to start; the client hears `channel_closed` before its socket is closed, save at
//! the control plane's own end, which the session survives; the agent's socket is closed after the end is stored.

use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::session::SessionEnd;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::flow::{Flowed, Slots, flow};
use super::frames;
use super::socket::Leg;
use super::{Limits, audit};
use crate::app::ControlPlane;
use crate::store::StoreError;
use crate::store::sessions::{self as stored, Session};

/// The longest pause between two tries to store an end.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a client hears that comes to a session that is over, or will be.
const OVER: &str = "The session is over.";

/// What comes to a session from outside.
pub(super) enum Order {
    /// A client that showed its token.
    Client(Leg),
    /// The node's agent.
    Agent(Leg),
    /// It is to end, for this reason, which the client gets to read.
    Close(&'static str),
    /// Its task is over; the agent will say more.
    TaskOver,
}

enum Event {
    Order(Order),
    Flowed(Flowed),
    Due,
    Ending,
}

pub(super) struct Relay {
    plane: Arc<ControlPlane>,
    session: Session,
    limits: Limits,
    orders: mpsc::Receiver<Order>,
    client: Option<Leg>,
    agent: Option<Leg>,
    slots: Slots,
    /// Until when a client, or the agent, may be away; only while it is.
    client_due: Option<Instant>,
    agent_due: Option<Instant>,
    /// By when it is to be over.
    end_due: Option<Instant>,
    /// Its task is over: by when the agent is to have said so.
    task_due: Option<Instant>,
}

impl Relay {
    pub(super) fn new(
        plane: Arc<ControlPlane>,
        session: Session,
        orders: mpsc::Receiver<Order>,
        wait: Duration,
    ) -> Self {
        let limits = plane.sessions.limits.clone();
        let due = Instant::now() + wait;
        Self {
            end_due: session.closing.is_some().then_some(due),
            plane,
            session,
            limits,
            orders,
            client: None,
            agent: None,
            slots: Slots::default(),
            client_due: Some(due),
            agent_due: Some(due),
            task_due: None,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let over = match self.next().await {
                Event::Order(Order::Client(leg)) => self.client_came(leg).await,
                Event::Order(Order::Agent(leg)) => self.agent_came(leg).await,
                Event::Order(Order::Close(reason)) => self.close(reason).await,
                Event::Order(Order::TaskOver) => {
                    self.task_due
                        .get_or_insert(Instant::now() + self.limits.last_words);
                    None
                }
                Event::Flowed(Flowed::ClientLost) => self.client_lost().await,
                Event::Flowed(Flowed::AgentLost) => self.agent_lost(),
                Event::Flowed(Flowed::Ended(end)) => Some((None, Some(end))),
                Event::Due => self.due().await,
                Event::Ending => return self.leave().await,
            };
            if let Some((reason, outcome)) = over {
                return self.end(reason, outcome).await;
            }
        }
    }

    async fn next(&mut self) -> Event {
        let dues = [self.client_due, self.agent_due, self.end_due, self.task_due];
        // One side at least is away or there is nothing to wait for.
        let due = dues.into_iter().flatten().min();
        let due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.plane.shutdown.cancelled() => Event::Ending,
            order = self.orders.recv() => order.map_or(Event::Ending, Event::Order),
            () = due => Event::Due,
            flowed = flow(self.client.as_mut(), self.agent.as_mut(), &mut self.slots) => Event::Flowed(flowed),
        }
    }

    async fn client_came(&mut self, leg: Leg) -> Over {
        if self.end_due.is_some() {
            self.see_off(leg, OVER);
            return None;
        }
        self.slots = Slots::default();
        self.client_due = None;
        if let Some(older) = self.client.replace(leg) {
            self.cut(older);
        }
        self.say_to_agent(frames::start).await
    }

    async fn agent_came(&mut self, mut leg: Leg) -> Over {
        self.slots = Slots::default();
        if self.end_due.is_some() && !leg.say(self.closed("")).await {
            return None;
        }
        self.agent_due = None;
        if let Some(older) = self.agent.replace(leg) {
            self.cut(older);
        }
        match self.client {
            Some(_) => self.say_to_agent(frames::start).await,
            None => None,
        }
    }

    async fn client_lost(&mut self) -> Over {
        self.client = None;
        self.slots = Slots::default();
        self.client_due = Some(Instant::now() + self.limits.resume);
        self.say_to_agent(frames::pause).await
    }

    fn agent_lost(&mut self) -> Over {
        self.agent = None;
        self.slots = Slots::default();
        self.agent_due = Some(Instant::now() + self.limits.resume);
        None
    }

    async fn say_to_agent(&mut self, frame: fn(&dyn crate::clock::Clock) -> Vec<u8>) -> Over {
        if let Some(agent) = &mut self.agent
            && !agent.say(frame(&*self.plane.clock)).await
        {
            return self.agent_lost();
        }
        None
    }

    /// Something did not come in time.
    async fn due(&mut self) -> Over {
        let now = Instant::now();
        let passed = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if passed(self.end_due) {
            return Some((None, None));
        }
        if self.end_due.is_some() {
            // Nobody is waited for but the agent, and that for as long.
            (self.client_due, self.task_due) = (None, None);
            self.agent_due = None;
            return None;
        }
        if passed(self.agent_due) {
            let reason = match self.session.agent_at.is_some() || self.has_agent_come().await {
                true => "The link to the task's node was lost for too long, and the session with it.",
                false => {
                    "The task's node did not answer in time. Its agent may have lost its link, or be too old for \
                          sessions. Try again."
                }
            };
            return Some((Some(reason), None));
        }
        if passed(self.task_due) {
            return self.close("The task is over.").await;
        }
        if passed(self.client_due) {
            return self.close("No client came, or came back, in time.").await;
        }
        None
    }

    async fn has_agent_come(&mut self) -> bool {
        match self.look().await {
            Ok(Some(session)) => self.session = session,
            Ok(None) => {}
            Err(error) => tracing::error!(%error, session = self.session.id, "a session can't be read"),
        }
        self.session.agent_at.is_some()
    }

    async fn look(&self) -> Result<Option<Session>, StoreError> {
        let mut connection = self.plane.store.read().await?;
        stored::get(&mut connection, &self.session.id).await
    }

    /// The session is to end: the client hears why, the agent that it must, and its last words are waited for.
    async fn close(&mut self, reason: &'static str) -> Over {
        if self.end_due.is_some() {
            return None;
        }
        if let Err(error) = self.store_closing(reason).await {
            tracing::error!(%error, session = self.session.id, "that a session is to end can't be stored");
        }
        self.session.closing.get_or_insert(reason.to_owned());
        if let Some(client) = self.client.take() {
            self.see_off(client, reason);
        }
        self.slots = Slots::default();
        if self.agent.is_none() && !self.has_agent_come().await {
            // It has nothing to say, and is not to begin.
            return Some((Some(reason), None));
        }
        let words = Instant::now() + self.limits.last_words;
        self.end_due = Some(self.agent_due.map_or(words, |due| due.max(words)));
        (self.client_due, self.task_due, self.agent_due) = (None, None, None);
        let frame = self.closed("");
        if let Some(agent) = &mut self.agent
            && !agent.say(frame).await
        {
            self.agent = None;
        }
        None
    }

    async fn store_closing(&self, reason: &str) -> Result<(), StoreError> {
        let mut transaction = self.plane.store.write().await?;
        stored::close(&mut transaction, &self.session.id, reason).await?;
        transaction.commit().await
    }

    /// It is over. What the agent said wins over what was decided here.
    async fn end(mut self, reason: Option<&'static str>, outcome: Option<SessionEnd>) {
        let mut pause = self.limits.store_again;
        while let Err(error) = self.store_end(reason, outcome.as_ref()).await {
            tracing::error!(%error, session = self.session.id, "a session's end can't be stored yet");
            if !self.waited(pause).await {
                // Its agent comes again with its word, after the next start.
                return self.leave().await;
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        self.plane.sessions.forget(&self.session.id);
        let why = self.session.closing.as_deref().or(reason);
        audit::over(
            &self.session,
            why,
            outcome.as_ref(),
            self.plane.clock.now_millis(),
        );
        if let Some(client) = self.client.take() {
            let said = outcome.and_then(|end| end.reason);
            let text = reason.map(str::to_owned).or(said).unwrap_or_default();
            self.see_off(client, &text);
        }
        if let Some(agent) = self.agent.take() {
            agent.close(CloseCode::Normal, "over").await;
        }
    }

    /// Between two tries to store the end, to which whoever comes meanwhile makes no difference. Says whether there is to be
    /// another one.
    async fn waited(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                biased;
                () = self.plane.shutdown.cancelled() => return false,
                Some(order) = self.orders.recv() => match order {
                    Order::Client(leg) => self.see_off(leg, OVER),
                    Order::Agent(leg) => {
                        if let Some(older) = self.agent.replace(leg) {
                            self.cut(older);
                        }
                    }
                    Order::Close(_) | Order::TaskOver => {}
                },
                () = sleep_until(until) => return true,
            }
        }
    }

    async fn store_end(&self, reason: Option<&str>, outcome: Option<&SessionEnd>) -> Result<(), StoreError> {
        let now = self.plane.clock.now_millis();
        let mut transaction = self.plane.store.write().await?;
        stored::end(&mut transaction, &self.session.id, reason, outcome, now).await?;
        transaction.commit().await
    }

    /// The control plane ends, and the session does not: what is on its way arrives, then both sides are let go of.
    async fn leave(mut self) {
        if self.client.is_some() {
            // If it can't be said, the agent is gone already.
            let _ = self.say_to_agent(frames::pause).await;
            let flowing = flow(self.client.as_mut(), self.agent.as_mut(), &mut self.slots);
            if let Ok(Flowed::Ended(end)) = timeout(self.limits.drain, flowing).await
                && self.store_end(None, Some(&end)).await.is_ok()
            {
                audit::over(&self.session, None, Some(&end), self.plane.clock.now_millis());
                if let Some(client) = self.client.take() {
                    self.see_off(client, end.reason.as_deref().unwrap_or_default());
                }
            }
        }
        let both = [self.client.take(), self.agent.take()].map(|leg| async {
            if let Some(leg) = leg {
                leg.close(CloseCode::Away, "the control plane ends").await;
            }
        });
        let [client, agent] = both;
        tokio::join!(client, agent);
    }

    fn closed(&self, output: &str) -> Vec<u8> {
        frames::closed(&*self.plane.clock, &self.session.id, output)
    }

    /// Tells a client that the session is over, and lets it go.
    fn see_off(&self, mut client: Leg, text: &str) {
        let (frame, wait) = (self.closed(text), self.limits.part);
        let ending = self.plane.shutdown.clone();
        self.plane.sessions.tasks.spawn(async move {
            // If it reads too slowly for that now, it still gets what the agent said before.
            let _ = client.say(frame).await;
            client.part(wait, (CloseCode::Normal, "over"), &ending).await;
        });
    }

    /// Lets go of a socket in whose place there is another one.
    fn cut(&self, older: Leg) {
        let closed = older.close(CloseCode::Policy, "another socket took its place");
        self.plane.sessions.tasks.spawn(closed);
    }
}

/// Why a session is over, and what its agent said; `None` while it is not.
type Over = Option<(Option<&'static str>, Option<SessionEnd>)>;
