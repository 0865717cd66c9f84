//! Calls over HTTPS: the device's request reaches the control plane or not, the control plane acts, and its answer arrives or
//! not.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use pawl_control_plane::http::Network;
use pawl_control_plane::orders::{self, ReceiptError};
use pawl_control_plane::pairing::{self, Progress};
use pawl_control_plane::refusal::RequestError;
use pawl_control_plane::token::{self, TokenErrorCode, TokenRequest};
use pawl_evidence::rand_core::RngCore as _;
use pawl_evidence::tpm::{Curve, Public, PublicKey};
use pawl_local_api::Token;
use pawl_proto::limits;
use pawl_proto::message::{RefusalCode, SignedReceipt};
use pawld::core::{Call, CallAnswer, CallFailure, Input, SessionAnswer, Ticket};
use serde_json::{Value, json};

use crate::device::{AUDIENCE, SCOPE};
use crate::execute::feed;
use crate::plan::HttpsFault;
use crate::plane;
use crate::seen::Sight;
use crate::world::{Ms, World, WorldEvent};

const URL: &str = "https://localhost:8443";
/// The longest that `pawld` waits for an answer.
const TIMEOUT: Ms = 75_000;

/// A request on its way.
#[derive(Debug)]
pub enum Request {
    /// As the core makes it.
    Call(Call),
    /// A token request, signed.
    Token {
        /// The form.
        form: Box<Value>,
        /// The DPoP proof.
        proof: String,
        /// The device's time when it was signed, Unix seconds.
        signed_at: u64,
    },
}

/// Begins a call.
pub fn begin(world: &mut World, index: usize, ticket: Ticket, call: Call) {
    let Some(device) = world.devices.get(index) else { return };
    let run = device.run;
    let request = match call {
        Call::Token(_) => match token_request(world, index) {
            Ok(request) => request,
            Err(text) => {
                let failure = failure(text, true, None);
                return world
                    .after(2, WorldEvent::Answer { device: index, run, ticket, answer: Err(failure) });
            }
        },
        call => Request::Call(call),
    };
    let fault = world.https.as_mut().and_then(|(fault, left)| {
        *left = left.checked_sub(1)?;
        Some(*fault)
    });
    let out = world.rng.between(5, 60);
    if fault == Some(HttpsFault::Unreachable) {
        world.seen.saw(Sight::HttpsUnreachable);
        let answer = Err(failure("the control plane cannot be reached".to_owned(), true, None));
        return world.after(out, WorldEvent::Answer { device: index, run, ticket, answer });
    }
    let out = if let Some(HttpsFault::Slow { ms }) = fault { out + ms } else { out };
    if out > TIMEOUT {
        let answer = Err(too_slow());
        world.after(TIMEOUT, WorldEvent::Answer { device: index, run, ticket, answer });
    }
    world.after(
        out,
        WorldEvent::Request {
            device: index,
            run,
            ticket,
            request: Box::new(request),
            fault,
            begun: world.now,
        },
    );
}

/// A request has reached the control plane.
pub fn arrived(
    world: &mut World,
    index: usize,
    run: u64,
    ticket: Ticket,
    request: Request,
    fault: Option<HttpsFault>,
    begun: Ms,
) {
    if let Some(HttpsFault::Status { status }) = fault {
        world.seen.saw(Sight::HttpsStatus);
        let answer = Err(status_failure(status));
        return world.after(10, WorldEvent::Answer { device: index, run, ticket, answer });
    }
    let answer = act(world, index, request);
    world.plane_acted();
    let answer = match fault {
        Some(HttpsFault::AnswerLost) => {
            world.seen.saw(Sight::HttpsAnswerLost);
            Err(failure("the answer was cut short".to_owned(), true, None))
        }
        Some(HttpsFault::ActedThenStatus { status }) => {
            world.seen.saw(Sight::HttpsActed);
            Err(status_failure(status))
        }
        Some(HttpsFault::Slow { .. }) => {
            world.seen.saw(Sight::HttpsSlow);
            answer
        }
        _ => answer,
    };
    let back = world.rng.between(5, 60);
    // `begin` has told the device of a request that takes too long by itself.
    if world.now - begun <= TIMEOUT {
        let is_late = world.now + back - begun > TIMEOUT;
        let answer = if is_late { Err(too_slow()) } else { answer };
        world.at(
            (world.now + back).min(begun + TIMEOUT),
            WorldEvent::Answer { device: index, run, ticket, answer },
        );
    }
}

/// An answer has come.
pub fn answered(world: &mut World, index: usize, ticket: Ticket, answer: Result<CallAnswer, CallFailure>) {
    feed(world, index, Input::Called(ticket, answer));
}

fn act(world: &mut World, index: usize, request: Request) -> Result<CallAnswer, CallFailure> {
    let control = world.plane.control.clone();
    let network = Network::of([192, 0, 2, 1].into());
    match request {
        Request::Token { form, proof, signed_at } => issue(world, index, *form, proof, signed_at),
        Request::Call(Call::Receipt(message)) => {
            let signed: SignedReceipt = pawl_proto::decode(&message, limits::ORDER)
                .map_err(|error| failure(error.to_string(), false, None))?;
            match plane::now(orders::receive_receipt(&control, None, signed)) {
                Ok(event) => {
                    world.receipt_taken(&message);
                    Ok(CallAnswer::ReceiptTaken(event))
                }
                Err(ReceiptError::Store(_)) => Err(status_failure(503)),
                Err(error) => {
                    world.trace(|| format!("control plane: a receipt is refused: {error}"));
                    Err(failure(error.to_string(), false, None))
                }
            }
        }
        Request::Call(Call::RequestPairing(request)) => plane::now(pairing::offer(&control, *request))
            .map(|offer| CallAnswer::Offered(Box::new(offer)))
            .map_err(|error| refused(world, error)),
        Request::Call(Call::OpenSession(id, proof)) => {
            let progress = plane::now(pairing::open(&control, id, (*proof).clone(), network))
                .map_err(|error| refused(world, error))?;
            world.session_opened(id);
            Ok(CallAnswer::Session(session(world, index, progress)))
        }
        Request::Call(Call::Step(id, step)) => {
            let progress =
                plane::now(pairing::step(&control, id, *step)).map_err(|error| refused(world, error))?;
            Ok(CallAnswer::Session(session(world, index, progress)))
        }
        Request::Call(Call::Prove(id, proof)) => {
            let grant = plane::now(pairing::prove(&control, id, (*proof).clone()))
                .map_err(|error| refused(world, error))?;
            world.granted(index, &grant);
            Ok(CallAnswer::Granted(Box::new(grant)))
        }
        Request::Call(Call::Token(_)) => {
            Err(failure("a token request is signed first".to_owned(), true, None))
        }
    }
}

fn session(world: &mut World, index: usize, progress: Progress) -> SessionAnswer {
    match progress {
        Progress::Waiting(waiting) => SessionAnswer::Waiting(waiting),
        Progress::Approved(approved) => {
            world.approved(index, &approved);
            SessionAnswer::Approved(approved)
        }
    }
}

fn refused(world: &mut World, error: RequestError) -> CallFailure {
    world.trace(|| format!("control plane: {error}"));
    match error {
        RequestError::Refused(refusal) => {
            let is_transient = refusal.code == RefusalCode::Busy;
            failure(refusal.message.to_string(), is_transient, Some(refusal.code))
        }
        RequestError::Failed(_) => status_failure(503),
    }
}

fn status_failure(status: u16) -> CallFailure {
    failure(
        format!("the control plane answered with HTTP status {status}"),
        matches!(status, 408 | 429 | 500..),
        None,
    )
}

fn too_slow() -> CallFailure {
    failure("no answer within 75 s".to_owned(), true, None)
}

fn failure(text: String, is_transient: bool, refusal: Option<RefusalCode>) -> CallFailure {
    CallFailure { text, remedy: String::new(), is_transient, refusal }
}

/// Signs a token request with the device key, under the lease of the open gate.
fn token_request(world: &mut World, index: usize) -> Result<Request, String> {
    let now = world.now;
    let device = world.devices.get_mut(index).ok_or("no device")?;
    device.set_clocks(now);
    let process = device.process.as_ref().ok_or("no process")?;
    let acting = process.parts.in_use().ok_or("the gate is closed")?;
    let (id, unix) = (acting.record.device.to_string(), process.parts.now().unix);
    let endpoint = format!("{URL}/v1/token");
    let mut jti = || {
        let mut bytes = [0; 16];
        device.rng.fill_bytes(&mut bytes);
        BASE64URL.encode(bytes)
    };
    let (first, second) = (jti(), jti());
    let assertion =
        json!({"iss": id, "sub": id, "aud": endpoint, "jti": first, "iat": unix, "exp": unix + 60});
    let jwk = jwk(&acting.key.public).ok_or("the device key is malformed")?;
    let proof = json!({"htm": "POST", "htu": endpoint, "jti": second, "iat": unix});
    let mut sign = |header: Value, claims: Value| {
        let signed =
            format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims.to_string()));
        let signature = device.tpm.sign(now, &acting.key, &acting.lease, signed.as_bytes());
        let signature = signature.map_err(|error| error.to_string())?;
        Ok::<_, String>(format!("{signed}.{}", BASE64URL.encode(signature)))
    };
    let assertion = sign(json!({"alg": "ES256", "typ": "JWT"}), assertion)?;
    let proof = sign(json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": jwk}), proof)?;
    let form = json!({
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion, "scope": SCOPE, "resource": AUDIENCE,
    });
    Ok(Request::Token { form: Box::new(form), proof, signed_at: unix })
}

fn jwk(public: &[u8]) -> Option<Value> {
    let public = Public::unmarshal(public).ok()?;
    let PublicKey::Ecc { curve: Curve::P256, x, y, .. } = public.key() else { return None };
    let coordinate = |bytes: &[u8]| {
        let mut padded = vec![0; 32_usize.saturating_sub(bytes.len())];
        padded.extend_from_slice(bytes);
        BASE64URL.encode(padded)
    };
    Some(json!({"kty": "EC", "crv": "P-256", "x": coordinate(x), "y": coordinate(y)}))
}

fn issue(
    world: &mut World,
    index: usize,
    form: Value,
    proof: String,
    signed_at: u64,
) -> Result<CallAnswer, CallFailure> {
    let refused = |text: String| failure(text, true, None);
    let request: TokenRequest = serde_json::from_value(form).map_err(|error| refused(error.to_string()))?;
    let control = world.plane.control.clone();
    let answer = plane::now(token::issue(&control, request, proof)).map_err(|error| {
        let text = match error.code {
            TokenErrorCode::ServerError => "HTTP status 503".to_owned(),
            _ => error.to_string(),
        };
        world.trace(|| format!("control plane: no token: {text}"));
        refused(text)
    })?;
    let answer = serde_json::to_value(&answer).map_err(|error| refused(error.to_string()))?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let expires_in = answer.get("expires_in").and_then(Value::as_u64).unwrap_or(0);
    let token = Token {
        access_token: text("access_token"),
        token_type: text("token_type"),
        expires_at: signed_at.saturating_add(expires_in),
        scope: text("scope"),
        dpop: None,
    };
    world.token_issued(index, &token);
    Ok(CallAnswer::Token(token))
}
