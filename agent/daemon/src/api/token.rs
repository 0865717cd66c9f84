//! `GET /v1/tokens/{name}` and `GET /v1/entitlement`: the calls of workloads. The gate answers them.

use hyper::StatusCode;
use pawl_config::TokenConfig;
use pawl_local_api::{EntitlementStatus, Problem};

use super::Api;
use super::answer::{Answer, parameter};
use crate::control_plane;
use crate::device::lacking;
use crate::problem::{not_granted, problem};

impl Api {
    pub(super) async fn token(&self, name: &str, query: &str) -> Answer {
        let tokens = &self.shared.config.tokens;
        let Some(configured) = tokens.iter().find(|token| token.name.as_str() == name) else {
            let remedy = "name it in a [[token]] table of the configuration";
            let problem = problem("no-such-token", "no token has this name", remedy);
            return Answer::json(StatusCode::NOT_FOUND, &problem);
        };
        let mut token = match self.shared.gate.token(name, self.shared.clock.unix()) {
            Ok(Some(token)) => token,
            Ok(None) => {
                if let Some(problem) = self.not_granted(configured) {
                    return Answer::forbidden(&problem);
                }
                let remedy =
                    "ask again in a few seconds; if it is still missing, see the reason with: pawlctl status";
                return Answer::unavailable(&problem(
                    "token-unavailable",
                    "the token has not been fetched yet",
                    remedy,
                ));
            }
            Err(problem) => return Answer::forbidden(&problem),
        };
        match (parameter(query, "method"), parameter(query, "url")) {
            (Some(method), Some(url)) => match self.proof(&method, &url, &token.access_token).await {
                Ok(proof) => token.dpop = Some(proof),
                Err(answer) => return answer,
            },
            (None, None) => {}
            _ => return Answer::bad_request("a proof needs both method and url"),
        }
        Answer::ok(&token)
    }

    /// Returns the problem if the operator has not granted what this token needs.
    fn not_granted(&self, token: &TokenConfig) -> Option<Problem> {
        let gate = &self.shared.gate;
        let (_, acting) = gate.acting().ok()?;
        let lacking = gate.with_vault(|vault| lacking(vault.entitlement(), &self.shared, token)).ok()??;
        Some(not_granted(acting.record.device, &lacking))
    }

    async fn proof(&self, method: &str, url: &str, token: &str) -> Result<String, Answer> {
        let gate = &self.shared.gate;
        let signer = gate.signer().map_err(|problem| Answer::forbidden(&problem))?;
        // RFC 9449, section 4.2: htu is without query and fragment.
        let url = url.split(['?', '#']).next().unwrap_or(url);
        let now = self.shared.clock.unix();
        let proof = control_plane::proof(&self.shared.tpm, &signer, method, url, Some(token), now).await;
        // The gate may have closed while the TPM was signing.
        gate.signer().map_err(|problem| Answer::forbidden(&problem))?;
        proof.map_err(|error| Answer::unavailable(&problem("tpm", error.to_string(), error.remedy())))
    }

    pub(super) async fn entitlement(&self, query: &str) -> Answer {
        match parameter(query, "wait").as_deref() {
            Some("true") => self.shared.gate.wait(true).await,
            Some("false") => self.shared.gate.wait(false).await,
            Some(_) => return Answer::bad_request("wait must be true or false"),
            None => {}
        }
        Answer::ok(&EntitlementStatus { entitled: self.shared.gate.is_open() })
    }
}
