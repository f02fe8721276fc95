/* Network addresses as people write them (host:port, [::1]:port, unix:/path) and address ranges
 * (10.0.0.0/8, ::1/128). Parsing only: a host name stays a name, net/dial resolves it. Pure. */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/str.h"

enum addr_kind {
    ADDR_IP,
    ADDR_NAME,
    ADDR_UNIX
};

struct addr {
    enum addr_kind kind;
    uint16_t port;  /* host order; 0 for unix and for "let the kernel choose" */
    char text[128]; /* as written, NUL-terminated: labels and messages */
    char host[108]; /* the name (ADDR_NAME), the literal without brackets (ADDR_IP), the path (ADDR_UNIX) */
    struct sockaddr_storage sa; /* filled for ADDR_IP and ADDR_UNIX */
    socklen_t sa_len;
};

/* False if text is not an address; *out is then unspecified. "*:80" and ":80" are refused. */
bool addr_parse(struct str text, struct addr *out);

/* IPv4 127/8, ::1, ::ffff:127/8, unix sockets and the name "localhost". */
bool addr_is_loopback(const struct addr *addr);

/* Writes the numeric host without port, NUL-terminated ("unix" for unix sockets); size at least 64. */
void addr_format_host(const struct sockaddr *sa, char *out, size_t size);

/* host:port, with brackets for IPv6; size at least 64. */
void addr_format(const struct sockaddr *sa, char *out, size_t size);

/* Port in host order; 0 for unix. */
uint16_t addr_port(const struct sockaddr *sa);

struct cidr {
    uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t bits;      /* of the 128 */
};

/* "10.0.0.0/8", "::1/128", or a single address. Bits set behind the mask are refused. */
bool cidr_parse(struct str text, struct cidr *out);

/* IPv4-mapped IPv6 addresses match IPv4 ranges. Unix peers match nothing. */
bool cidr_has(const struct cidr *cidr, const struct sockaddr *sa);

/* The 16 bytes that name a client's address in tables: IPv4 as mapped, IPv6 cut to its /64, since
 * one client usually owns all of that. Unix peers are all zero. */
void addr_client_key(const struct sockaddr *sa, uint8_t out[16]);

#endif
