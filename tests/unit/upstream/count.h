/* Counts what the room asks of the system and of malloc, and makes allocations fail, by the linker's --wrap.
 */
#ifndef TEST_UPSTREAM_COUNT_H
#define TEST_UPSTREAM_COUNT_H

extern unsigned count_recv;
extern unsigned count_send; /* send and sendmsg */
extern unsigned count_alloc;
extern unsigned count_alloc_fails_at; /* the n-th allocation from count_reset() on fails; 0: none */

void count_reset(void);

#endif
