/* Bistables, edge detection and counters (IEC 61131-3:2013, 6.6.3.5, tables 43 to 45). */
#ifndef CW_BLOCKS_LOGIC_H
#define CW_BLOCKS_LOGIC_H
#include <stdbool.h>
#include <stdint.h>

struct cw_bistable {
    uint8_t q;
    uint8_t spare[7];
};

/* Set dominant: Q1 := S1 OR (NOT R AND Q1). Returns Q1. */
int cw_sr_step(struct cw_bistable *block, bool s1, bool r);

/* Reset dominant: Q1 := NOT R1 AND (S OR Q1). Returns Q1. */
int cw_rs_step(struct cw_bistable *block, bool s, bool r1);

struct cw_edge {
    uint8_t memory;
    uint8_t q;
    uint8_t spare[6];
};

/* Q := CLK AND NOT M; M := CLK. A first step with CLK TRUE is an edge. Returns Q. */
int cw_r_trig_step(struct cw_edge *block, bool clk);

/* Q := NOT CLK AND NOT M; M := NOT CLK. A first step with CLK FALSE is an edge. Returns Q. */
int cw_f_trig_step(struct cw_edge *block, bool clk);

struct cw_counter {
    int64_t cv;
    uint8_t up;   /* CU as last seen */
    uint8_t down; /* CD as last seen */
    uint8_t qu;   /* Q of CTU, QU of CTUD */
    uint8_t qd;   /* Q of CTD, QD of CTUD */
    uint8_t spare[4];
};

enum {
    CW_QU = 1,
    CW_QD = 2
};

/* Edges are taken from CU and CD at every step, also while R or LD hold the count. The count stays
 * in low..high (the standard's PVmin and PVmax). Each returns CW_QU and CW_QD as bits; a PV
 * outside low..high is CW_BAD_PARAMETER. */
int cw_ctu_step(struct cw_counter *block, bool cu, bool r, int64_t pv, int64_t low, int64_t high);
int cw_ctd_step(struct cw_counter *block, bool cd, bool ld, int64_t pv, int64_t low, int64_t high);
int cw_ctud_step(struct cw_counter *block, bool cu, bool cd, bool r, bool ld, int64_t pv,
                 int64_t low, int64_t high);

#endif
