//! What the service answers, and how it ends. It runs on what `super::platform` names: Redis,
//! a key file and the system's clock; in `sim/tests/it/axum_service.rs` on simulated ones.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Extension, Json, Router,
    extract::{MatchedPath, Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use haechi_store_redis::{
    AppendError, Builder, DurabilityStatus, RedisTokenVault,
    audit::AuditSink,
    chain::Event,
    clock::{Clock, within},
    crypto::LocalKeys,
    entropy::Entropy,
    redis::RedisAuditStore,
    vault::{Details, Identity, Refusal, RevealError, TokenType, TokenizeError, VaultPolicy},
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use serde_json::json;
use tokio_util::task::TaskTracker;

use super::platform::{KeyPlace, Randomness, Redis, Time};

pub(crate) type Keys = LocalKeys<KeyPlace, Time, Randomness>;

/// How long requests may still run after SIGTERM, and what they began after them.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// What the requests share. Cheap to clone: so are a sink and a vault.
#[derive(Clone)]
pub(crate) struct Service {
    clock: Time,
    entropy: Randomness,
    audit: AuditSink<Time, Randomness>,
    /// Only asked whether it is ready.
    chain: Arc<RedisAuditStore<Redis, Time, Randomness>>,
    vault: Arc<RedisTokenVault<Keys, Redis, Time, Randomness>>,
    keys: Arc<Keys>,
    email: TokenType,
    requests: TaskTracker,
    metrics: PrometheusHandle,
}

impl Service {
    pub(crate) async fn open(
        (redis, clock, entropy): (Redis, Time, Randomness),
        builder: Builder<Time, Randomness>,
        keys: Keys,
        policy: VaultPolicy,
        metrics: PrometheusHandle,
    ) -> Result<Self, Box<dyn Error>> {
        let keys = Arc::new(keys);
        let chain = builder.audit_store(redis.clone());
        let (audit, vault) = builder.open(redis, keys.clone(), policy).await?;
        Ok(Self {
            clock,
            entropy,
            audit,
            chain: Arc::new(chain),
            vault: Arc::new(vault),
            keys,
            email: TokenType::new("email")?,
            requests: TaskTracker::new(),
            metrics,
        })
    }

    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/customers", post(add))
            .route("/customers/{token}", get(show))
            .fallback(async || Failure(StatusCode::NOT_FOUND, "no such resource"))
            // What is added below is not audited.
            .layer(from_fn_with_state(self.clone(), audited))
            .route("/health", get(health))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self)
    }

    /// Each step makes sure that what the next one closes is no longer needed: requests use
    /// the vault and the sink, purges and restores of the vault the sink, and both the keys.
    pub(crate) async fn close(self) {
        self.requests.close();
        let waited = within(&self.clock, GRACE, self.requests.wait()).await;
        if waited.is_none() || !self.vault.close(GRACE).await {
            tracing::warn!("closing while requests still run");
        }
        for handle in self.audit.close(GRACE).await.unknown {
            tracing::error!("closed before the outcome of {handle} was known");
        }
        if let Err(error) = self.keys.close().await {
            tracing::warn!("the rest of a window of encryptions counts as used: {error}");
        }
    }
}

/// Answers a request once it is recorded. If it cannot be, the answer says so, and what the
/// request has read stays here.
async fn audited(
    State(service): State<Service>,
    path: Option<Extension<MatchedPath>>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    // The route, not the path: that has a token in it.
    let path = path.as_ref().map_or("unknown", |path| path.as_str());
    let operation = format!("{} {path}", request.method());
    let user = user(request.headers()).map(str::to_owned);
    let at = service.clock.wall().duration_since(UNIX_EPOCH);
    let at = at.unwrap_or_default().as_secs();
    let mut id = [0; 16];
    let drawn = service.entropy.fill(&mut id);
    drawn.map_err(|_| Failure(StatusCode::SERVICE_UNAVAILABLE, "no randomness"))?;
    let id = format!("{:032x}", u128::from_be_bytes(id));
    let requests = service.requests.clone();
    // If the client leaves, this future is dropped. The task goes on: whatever was done for
    // the client is recorded, and shutting down waits for it.
    let answered = requests.spawn(async move {
        let mut response = next.run(request).await;
        let is_allowed = response.status().is_success();
        let event = json!({
            "id": id,
            "at": at,
            "user": user,
            "operation": operation,
            "decision": if is_allowed { "allow" } else { "deny" },
            "status": response.status().as_u16(),
        });
        let event = Event::from_serialize(&event).map_err(AppendError::Invalid)?;
        let appended = service.audit.record(event).await?;
        durable(&appended.durability)?;
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-request-id", id);
        }
        Ok(response)
    });
    answered
        .await
        .unwrap_or(Err(Failure(StatusCode::INTERNAL_SERVER_ERROR, "failed")))
}

/// Who asks: an id set by the proxy that authenticates, which alone can reach this service.
fn user(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-user")?.to_str().ok()
}

#[derive(Deserialize)]
struct Customer {
    email: String,
}

/// Puts an address into the vault.
async fn add(
    State(service): State<Service>,
    Json(customer): Json<Customer>,
) -> Result<Response, Failure> {
    let vault = &service.vault;
    let tokenize = vault.tokenize(&service.email, &customer.email, Details::default());
    let made = tokenize.await?;
    durable(&made.durability)?;
    let answer = Json(json!({ "token": made.token.as_str() }));
    Ok((StatusCode::CREATED, answer).into_response())
}

/// The address of a token, if the policy allows it; the vault records it before it returns.
async fn show(
    State(service): State<Service>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let reveal = match user(&headers) {
        Some(user) => {
            let user = Identity::new(user);
            let user = user.map_err(|_| Failure(StatusCode::BAD_REQUEST, "no such user"))?;
            let vault = service.vault.on_behalf_of(user);
            vault.reveal(&token, None).await
        }
        None => service.vault.reveal(&token, None).await,
    };
    let plaintext = reveal?;
    Ok(Json(json!({ "email": plaintext.expose() })).into_response())
}

/// For an operator or an alert: what the last attempts have shown. Not for a probe that
/// decides about traffic: without traffic there are no attempts, and it stays as it is.
async fn health(State(service): State<Service>) -> Response {
    let (audit, vault) = (service.audit.health(), service.vault.tokens().health());
    let status = match audit.is_serving() && vault.is_serving() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("audit: {audit:?}\nvault: {vault:?}\n")).into_response()
}

/// For a readiness probe: asks Redis, and whether it has what this process has seen.
async fn ready(State(service): State<Service>) -> Response {
    let (chain, vault) = tokio::join!(
        service.chain.ready_with(&service.audit),
        service.vault.tokens().ready()
    );
    let faults = chain.faults.into_iter().chain(vault.faults);
    let faults: String = faults
        .map(|(fault, cause)| format!("{}: {cause}\n", fault.name()))
        .collect();
    match faults.is_empty() {
        true => StatusCode::OK.into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, faults).into_response(),
    }
}

async fn metrics(State(service): State<Service>) -> String {
    service.metrics.run_upkeep();
    service.metrics.render()
}

/// A status, and what the client is told; the log has the reason.
#[derive(Clone, Copy)]
struct Failure(StatusCode, &'static str);

impl Failure {
    /// It was not done, or may be done again; the client should do so.
    fn passing(why: &impl std::fmt::Display) -> Self {
        tracing::warn!("{why}");
        Self(StatusCode::SERVICE_UNAVAILABLE, "not done; try again")
    }

    /// Nobody knows whether it was done, or someone has to act: the log has the handle, or
    /// the next step.
    fn lasting(why: &impl std::fmt::Display) -> Self {
        tracing::error!("{why}");
        Self(StatusCode::INTERNAL_SERVER_ERROR, "failed")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.0, self.1).into_response();
        if self.0 == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = HeaderValue::from_static("1");
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}

/// What was done counts only once it is as durable as asked.
fn durable(status: &DurabilityStatus) -> Result<(), Failure> {
    match status {
        DurabilityStatus::AsAsked => Ok(()),
        DurabilityStatus::NotYet(why) => Err(Failure::lasting(&why)),
    }
}

impl From<TokenizeError> for Failure {
    fn from(error: TokenizeError) -> Self {
        match &error {
            TokenizeError::Invalid(_) => Self(StatusCode::BAD_REQUEST, "no such address"),
            TokenizeError::NotApplied(_) => Self::passing(&error),
            TokenizeError::Encrypt(_) | TokenizeError::Name(_) => Self::passing(&error),
            TokenizeError::Unknown(_) | TokenizeError::Corrupt(_) => Self::lasting(&error),
        }
    }
}

impl From<RevealError> for Failure {
    fn from(error: RevealError) -> Self {
        match error {
            RevealError::NotAudited(error) => error.into(),
            RevealError::Refused(Refusal::PolicyDisabled) => Self(StatusCode::FORBIDDEN, "denied"),
            RevealError::Refused(Refusal::UnknownToken | Refusal::Expired) => {
                Self(StatusCode::NOT_FOUND, "no such customer")
            }
            RevealError::Refused(Refusal::Unavailable(error)) => Self::passing(&error),
            RevealError::Refused(refusal) => Self::lasting(&refusal),
        }
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        match &error {
            AppendError::NotApplied(_) => Self::passing(&error),
            AppendError::Corrupt(_) => Self::lasting(&error),
            AppendError::Unknown { .. } | AppendError::Invalid(_) => Self::lasting(&error),
        }
    }
}
