/* Connections that rest, and ask all at once when they are told to. */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

/* Opens want.connections, asks once on each, and prints how many are open. Then, until standard input
 * ends: each line there is a target; all ask for it at the same moment, and a line says how long they
 * waited, counted from that moment, whose time on the monotonic clock it says as well. */
void crowd_hold(void);

#endif
