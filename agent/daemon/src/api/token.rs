//! `GET /v1/tokens/{name}[?method=M&url=U]`: a token, and a DPoP proof for the one request that
//! is named.

use hyper::StatusCode;
use pawl_config::TokenConfig;
use pawl_proto::local::Problem;

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
                let remedy = "ask again soon; if it stays away, see why with: pawlctl status";
                return Answer::unavailable(&problem(
                    "token-unavailable",
                    "the token has not come yet",
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

    /// Why the device may not have this token, where the operator has not granted it.
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
}
