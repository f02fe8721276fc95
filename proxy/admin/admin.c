#include "admin/admin.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "admin/api.h"

/* A name is looked up once, before anything else runs: what it stands for is where weir listens. */
static int resolve(const struct addr *named, struct addr *out)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE };
    struct addrinfo *found = NULL;
    char text[80];
    if (getaddrinfo(named->host, NULL, &hints, &found) != 0 || !found)
        return EADDRNOTAVAIL;
    struct sockaddr_storage sa = { 0 };
    memcpy(&sa, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (sa.ss_family == AF_INET)
        ((struct sockaddr_in *)&sa)->sin_port = htons(named->port);
    else
        ((struct sockaddr_in6 *)&sa)->sin6_port = htons(named->port);
    addr_format((struct sockaddr *)&sa, text, sizeof text);
    return addr_parse(str_of(text), out) ? 0 : EADDRNOTAVAIL;
}

struct admin *admin_new(struct loop *loop, const struct config_admin *config, const struct admin_hooks *hooks,
                        struct addr *out_bound, int *out_errno)
{
    struct admin *admin = calloc(1, sizeof *admin);
    struct addr addr = config->address;
    *out_errno = ENOMEM;
    if (!admin)
        return NULL;
    admin->loop = loop;
    admin->hooks = *hooks;
    if (config->token.data && !(admin->token = str_dup(config->token)))
        goto fail;
    if (addr.kind == ADDR_NAME) {
        admin->name = str_dup(str_of(addr.host));
        if (!admin->name)
            goto fail;
        *out_errno = resolve(&config->address, &addr);
        if (*out_errno)
            goto fail;
    }
    admin->server = admin_server_new(loop, &addr, api_ask, admin, &admin->bound, out_errno);
    if (!admin->server)
        goto fail;
    if (out_bound)
        *out_bound = admin->bound;
    return admin;

fail:
    admin_free(admin);
    return NULL;
}

void admin_free(struct admin *admin)
{
    if (!admin)
        return;
    admin_server_free(admin->server);
    free(admin->name);
    free(admin->token);
    free(admin);
}
