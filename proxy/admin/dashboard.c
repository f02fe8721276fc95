/* GET /: the live dashboard, one page without anything from elsewhere. It holds no numbers itself: its script
 * asks /api/status and /api/latency, and for the token when these refuse. */
#include <stdio.h>

#include "admin/api.h"
#include "admin/dashboard_page.h" /* made from dashboard.html */
#include "admin/guard.h"
#include "base/err.h"
#include "net/loop.h"

void dashboard_cookie_name(const struct admin *admin, char out[40])
{
    snprintf(out, 40, "weir_admin_%u", (unsigned)admin->bound.port);
}

void dashboard_put(struct reply *reply, int status)
{
    reply_text(reply, status, "text/html; charset=utf-8", str_n(dashboard_page, sizeof dashboard_page - 1));
    /* Only the script and the style that the page came with, by their hashes. */
    reply_field(reply, "Content-Security-Policy",
                "default-src 'none'; script-src 'sha256-" DASHBOARD_SCRIPT_HASH
                "'; style-src 'sha256-" DASHBOARD_STYLE_HASH
                "'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                "frame-ancestors 'none'");
    reply_field(reply, "Referrer-Policy", "no-referrer");
    reply_field(reply, "X-Frame-Options", "DENY");
}

void get_dashboard(struct admin *admin, const struct call *call, struct reply *reply)
{
    (void)admin;
    (void)call;
    dashboard_put(reply, 200);
}

void post_session(struct admin *admin, const struct call *call, struct reply *reply)
{
    char word[SESSION_CHARS + 1];
    char name[40];
    char cookie[256];
    struct str token;
    if (!api_string(call->body, "token", &token, reply))
        return;
    if (!admin->token || !guard_is_same_secret(token, str_of(admin->token))) {
        reply_problem(reply, 401, err_word(ERR_BAD_TOKEN), "this is not the admin token");
        return;
    }
    if (!sessions_open(&admin->sessions, loop_now_ns(admin->loop), word)) {
        reply->is_broken = true;
        return;
    }
    dashboard_cookie_name(admin, name);
    snprintf(cookie, sizeof cookie, "%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict", name, word,
             SESSION_SECONDS);
    reply_field(reply, "Set-Cookie", cookie);
    reply_json(reply, 200, json_pack("{s:i}", "seconds", SESSION_SECONDS));
}
