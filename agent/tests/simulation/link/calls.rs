//! What the engine asks of the model of a control plane.

use super::*;

#[async_trait]
impl ControlLink for FakeLink {
    async fn register_container_instance(
        &self,
        _: ecs::RegisterContainerInstanceRequest,
    ) -> Result<ecs::ContainerInstance, LinkError> {
        Err(self.unavailable("RegisterContainerInstance"))
    }

    async fn deregister_container_instance(
        &self,
        _: ecs::DeregisterContainerInstanceRequest,
    ) -> Result<(), LinkError> {
        Err(self.unavailable("DeregisterContainerInstance"))
    }

    async fn poll(&self, request: &PollRequest) -> Result<PollResponse, LinkError> {
        self.calls_made.fetch_add(1, Ordering::Relaxed);
        self.world.cross("> poll").await;
        if self.is_down() || self.world.faulty() {
            return Err(self.unavailable("poll"));
        }
        let goes_back = {
            let mut inner = self.inner.lock().unwrap();
            let goes_back = inner.goes_back(&request.cursor);
            inner.polls.push(request.clone());
            goes_back
        };
        if goes_back {
            self.world
                .blame(format!("the cursor goes back to {:?}", request.cursor));
        }
        if let Some(answer) = self.late() {
            self.world
                .cross(&format!("< poll, late: {:?}", answer.cursor))
                .await;
            return Ok(answer);
        }
        if self.stuck.load(Ordering::Relaxed) {
            let mut asked = request.clone();
            asked.cursor.cursor = 0;
            let answer = self.answer(&asked).ok_or_else(|| self.unavailable("poll"))?;
            let cursor = request.cursor.clone();
            return Ok(PollResponse { cursor, ..answer });
        }
        if let Some(answer) = self.withheld(request) {
            return Ok(answer);
        }
        let held = Duration::from_secs(u64::from(request.wait_seconds));
        let until = tokio::time::Instant::now() + held;
        loop {
            if let Some(answer) = self.answer(request) {
                let given = (self.world.millis(), answer.clone());
                self.inner.lock().unwrap().answers.push_back(given);
                self.world.cross("< poll").await;
                if self.world.faulty() {
                    return Err(self.unavailable("poll"));
                }
                return Ok(answer);
            }
            if tokio::time::timeout_at(until, self.news.notified())
                .await
                .is_err()
            {
                return Ok(self.nothing_more(request));
            }
            if self.is_down() {
                return Err(self.unavailable("poll"));
            }
        }
    }

    async fn submit_task_state_change(
        &self,
        request: ecs::SubmitTaskStateChangeRequest,
    ) -> Result<(), LinkError> {
        self.calls_made.fetch_add(1, Ordering::Relaxed);
        let task = request.task.clone().unwrap();
        let now = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_calls.fetch_max(now, Ordering::Relaxed);
        self.world
            .cross(&format!("> report {} {task}", request.status.as_deref().unwrap()))
            .await;
        self.calls.fetch_sub(1, Ordering::Relaxed);
        if self.is_down() || self.world.faulty() {
            return Err(self.unavailable("SubmitTaskStateChange"));
        }
        {
            let mut inner = self.inner.lock().unwrap();
            if inner.refuse.contains(&task) {
                return Err(LinkError::Refused {
                    operation: "SubmitTaskStateChange",
                    code: "InvalidParameterException".to_owned(),
                    message: "simulated".to_owned(),
                });
            }
            let before = inner
                .reports
                .iter()
                .skip(inner.known_from)
                .rev()
                .find(|(_, report)| report.task == request.task);
            // A task that it has forgotten was ordered to stop once more.
            let over = before.is_some_and(|(_, report)| report.status.as_deref() == Some("STOPPED"));
            if over && request.containers.as_ref().is_none_or(Vec::is_empty) {
                return Ok(());
            }
            Self::check(before.map(|(_, report)| report), &request, inner.specs.get(&task));
            let at = self.world.millis();
            inner.reports.push((at, request));
        }
        let way = self.acknowledges_after.load(Ordering::Relaxed);
        let _busy = self.world.busy(&format!("report of {task}"));
        tokio::time::sleep(Duration::from_millis(way)).await;
        self.world.cross("< report").await;
        match self.world.faulty() {
            true => Err(self.unavailable("SubmitTaskStateChange")),
            false => Ok(()),
        }
    }
}
