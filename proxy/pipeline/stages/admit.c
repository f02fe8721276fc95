/* Has its tenant's rate room for it, and its address's? A promise to everyone, so it is asked before the
 * cache. */
#include "base/err.h"
#include "pipeline/client.h"
#include "pipeline/request.h"
#include "policy/ratelimit.h"

static bool address_may_pass(struct request *req)
{
    const struct config_clients *clients = &req->world->config->clients;
    if (clients->rate_per_s < 0 || !req->client || req->is_peer_trusted)
        return true;
    uint8_t key[16];
    addr_client_key(&req->client->peer.sa, key);
    double burst = clients->rate_per_s > 1 ? clients->rate_per_s : 1;
    struct bucket_answer answer = address_take(req->lane->city->addresses, key, clients->rate_per_s, burst,
                                               loop_now_ns(req->lane->loop));
    if (!answer.is_taken)
        req->retry_after_s = ratelimit_retry_after_s(&answer);
    return answer.is_taken;
}

static bool tenant_may_pass(struct request *req)
{
    const struct config_tenant *rules = req->tenant->rules;
    if (rules->rate_per_s < 0)
        return true;
    req->rate = bucket_take(&req->tenant->tenant->bucket, rules->rate_per_s, tenant_burst(rules),
                            loop_now_ns(req->lane->loop));
    req->has_rate = true;
    if (!req->rate.is_taken)
        req->retry_after_s = ratelimit_retry_after_s(&req->rate);
    return req->rate.is_taken;
}

enum verdict stage_admit(struct request *req)
{
    if (!req->errand && !address_may_pass(req))
        return request_fail(req, ERR_ADDRESS_RATE);
    if (!req->errand && !tenant_may_pass(req))
        return request_fail(req, ERR_TENANT_RATE);
    req->admitted_ns = loop_tick_ns(req->lane->loop);
    return NEXT;
}
