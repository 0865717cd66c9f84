//! `GET /approve`: where the URL on a device's screen leads. The code stands behind the `#` of that
//! URL, which browsers keep to themselves: no log of ours sees it.

use axum::http::header;
use axum::response::{Html, IntoResponse};

const PAGE: &str = "\
<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Approve a device</title>
<h1>Approve a device</h1>
<p>Approvals are signed with your SSH key, so this page cannot give one.
<p>Where you have that key and may administer the control plane, run
<pre>pawl-control-plane approve --code CODE --sign-with ~/.ssh/id_ed25519</pre>
<p>CODE is what the device shows: twelve letters in groups of four. It stands behind the <code>#</code> of
this page's address too. Compare it with the screen of the device that you mean to approve, read the request
that the command shows, and then tell the confirmation that it prints to whoever stands at the device.
<p>Nobody will ever ask you for a code that is not on a screen in front of you or of somebody you know.
";

/// The same for everybody.
pub(super) async fn show() -> impl IntoResponse {
    let headers = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, Html(PAGE))
}
