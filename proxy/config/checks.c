/* What no single key can tell: names that lead nowhere, things said twice, things that contradict.
 * Values that were wrong by themselves are empty here and are passed over: one mistake, one line. */
#include <stdio.h>

#include "base/addr.h"
#include "base/check.h"
#include "config/checks.h"
#include "config/guess.h"

void check_upstream_name(struct reading *r, const char *who, const struct str *name)
{
    const struct config *config = r->config;
    if (!name->data || config->upstream_count == 0 || config_find_upstream(config, *name))
        return;
    struct guess guess;
    char meant[128];
    guess_init(&guess, *name);
    for (unsigned i = 0; i < config->upstream_count; i++)
        guess_offer(&guess, config->upstreams[i].name);
    config_mistake(r->mistakes, reading_mark(r, name),
                   "%s: there is no upstream \"%.*s\"; allowed: a name under upstreams%s", who,
                   STR_FMT(*name), guess_text(&guess, meant, sizeof meant));
}

void check_version_name(struct reading *r, const char *who, const struct str *name)
{
    const struct config *config = r->config;
    if (!name->data || config_find_version(config, *name))
        return;
    struct guess guess;
    char meant[128];
    guess_init(&guess, *name);
    for (unsigned i = 0; i < config->versions.known_count; i++)
        guess_offer(&guess, config->versions.known[i].name);
    config_mistake(r->mistakes, reading_mark(r, name),
                   "%s: there is no version \"%.*s\"; allowed: a name under versions.known%s", who,
                   STR_FMT(*name), guess_text(&guess, meant, sizeof meant));
}

bool check_is_same_address(const struct addr *a, const struct addr *b)
{
    if (a->text[0] == '\0' || b->text[0] == '\0' || a->kind != b->kind)
        return false;
    if (a->kind != ADDR_UNIX && (a->port == 0 || a->port != b->port))
        return false;
    if (a->kind == ADDR_IP)
        return a->sa_len == b->sa_len && memcmp(&a->sa, &b->sa, a->sa_len) == 0;
    return str_ieq(str_of(a->host), str_of(b->host));
}

static void check_listens(struct reading *r)
{
    const struct config *config = r->config;
    for (unsigned i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listens[i];
        for (unsigned j = 0; j < i; j++) {
            if (check_is_same_address(&listen->address, &config->listens[j].address))
                config_mistake(r->mistakes, reading_mark(r, &listen->address),
                               "listen: %s is here twice; the first is on line %d", listen->address.text,
                               config->listens[j].mark.line);
        }
        if (check_is_same_address(&listen->address, &config->admin.address))
            config_mistake(r->mistakes, reading_mark(r, &listen->address),
                           "listen: %s is the admin address too; take another one for one of them",
                           listen->address.text);
        if (listen->client_ca.data && listen->certificate_count == 0)
            config_mistake(r->mistakes, reading_mark(r, &listen->client_ca),
                           "client_ca needs tls: certificates are shown inside TLS");
    }
}

static void check_admin(struct reading *r)
{
    const struct config_admin *admin = &r->config->admin;
    if (admin->address.text[0] == '\0' || admin->token.data || addr_is_loopback(&admin->address))
        return;
    if (reading_has(r, &admin->token))
        return; /* it is there, and wrong by itself */
    config_mistake(r->mistakes, reading_mark(r, &admin->address),
                   "admin: %s can be reached by others; allowed: an address on loopback, unix:/path, or, in "
                   "a config file, {address: ..., token: \"${WEIR_ADMIN_TOKEN}\"}",
                   admin->address.text);
}

void reading_check(struct reading *r)
{
    check_listens(r);
    check_admin(r);
    check_tenants(r);
    check_versions(r);
    check_upstreams(r);
    check_routes(r);
    check_ways(r);
}
