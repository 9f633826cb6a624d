#include "blocks/pid.h"

#include <limits.h>
#include <math.h>

#include "blocks/clock.h"

static bool usable(const struct cw_pid_tuning *tuning)
{
    return tuning->low <= tuning->high && !(tuning->td_s > 0 && !(tuning->n > 0));
}

static double clamp(double value, const struct cw_pid_tuning *tuning)
{
    if (value > tuning->high)
        return tuning->high;
    return value < tuning->low ? tuning->low : value;
}

/* The part of an increment of the integral that leaves the output within its limits. */
static double allowed(double increment, double output, const struct cw_pid_tuning *tuning)
{
    if (increment > 0 && output + increment > tuning->high)
        return output < tuning->high ? tuning->high - output : 0;
    if (increment < 0 && output + increment < tuning->low)
        return output > tuning->low ? tuning->low - output : 0;
    return increment;
}

/* The output on its way to the hand. A loop without a past has no way to go. */
static double approach(const struct cw_pid *loop, const struct cw_pid_tuning *tuning, double h,
                       double hand)
{
    if (tuning->hand_rate > 0 && (loop->sampled || loop->held)) {
        double most = tuning->hand_rate * h;
        if (hand > loop->out + most)
            hand = loop->out + most;
        else if (hand < loop->out - most)
            hand = loop->out - most;
    }
    return clamp(hand, tuning);
}

/* An input is no number: the output stays, or is what the hand says if that is one. */
static int hold(struct cw_pid *loop, const struct cw_pid_tuning *tuning, int64_t now_ns, double h,
                bool manual, double hand)
{
    bool moves = manual && isfinite(hand);
    loop->out = moves ? approach(loop, tuning, h, hand) : clamp(loop->out, tuning);
    loop->last_ns = now_ns;
    loop->clocked = 1;
    loop->sampled = 0;
    loop->held = 1;
    loop->by_hand = manual;
    return CW_HELD;
}

/* Tuning and time have been checked. */
static int step(struct cw_pid *loop, const struct cw_pid_tuning *tuning, int64_t now_ns,
                uint64_t lapse, double sp, double pv, double ff, bool manual, double hand)
{
    double h = (double)lapse * 1e-9;
    double kp = tuning->kp, td = tuning->td_s;
    double p = kp * (tuning->b * sp - pv);
    /* what was sampled under another clock is too old for a difference */
    bool sampled = loop->sampled && loop->clocked;

    double d = 0;
    if (td > 0 && sampled) {
        double filter = td / tuning->n;
        d = (filter * loop->d - kp * td * (pv - loop->pv)) / (filter + h);
    }

    double i = loop->i;
    double out = manual ? approach(loop, tuning, h, hand) : loop->out;
    if (manual || (loop->by_hand && !sampled)) {
        i = out - p - d - ff;
    } else if (sampled && tuning->ti_s > 0) {
        i += loop->p - kp * (tuning->b * loop->sp - loop->pv);
        i -= loop->out - clamp(loop->out, tuning);
        i += allowed(kp * h / tuning->ti_s * (sp - pv), p + i + d + ff, tuning);
    }
    if (!manual)
        out = clamp(p + i + d + ff, tuning);
    /* hand is looked at by itself: clamping makes an infinite one finite */
    if (!isfinite(p) || !isfinite(d) || !isfinite(i) || !isfinite(out) || !isfinite(ff) ||
        (manual && !isfinite(hand)))
        return hold(loop, tuning, now_ns, h, manual, hand);

    *loop = (struct cw_pid){.out = out,
                            .i = i,
                            .d = d,
                            .p = p,
                            .sp = sp,
                            .pv = pv,
                            .last_ns = now_ns,
                            .clocked = 1,
                            .sampled = 1,
                            .by_hand = manual};
    return 0;
}

int cw_pid_step(struct cw_pid *loop, const struct cw_pid_tuning *tuning, int64_t now_ns, double sp,
                double pv, double ff, bool manual, double hand)
{
    uint64_t lapse;
    if (!usable(tuning))
        return CW_BAD_PARAMETER;
    if (!cw_lapse(loop->last_ns, loop->clocked, now_ns, &lapse))
        return CW_TIME_BACKWARDS;
    return step(loop, tuning, now_ns, lapse, sp, pv, ff, manual, hand);
}

int cw_pid_bank_step(struct cw_pid *loops, const struct cw_pid_tuning *tunings, size_t count,
                     int64_t now_ns, const double *sp, const double *pv, const double *ff,
                     const uint8_t *manual, const double *hand, double *out)
{
    uint64_t lapse;
    if (!loops || !tunings || !sp || !pv || !out || count > INT_MAX || !manual != !hand)
        return CW_BAD_PARAMETER;
    for (size_t n = 0; n < count; n++) {
        if (!usable(&tunings[n]))
            return CW_BAD_PARAMETER;
        if (!cw_lapse(loops[n].last_ns, loops[n].clocked, now_ns, &lapse))
            return CW_TIME_BACKWARDS;
    }
    int held = 0;
    for (size_t n = 0; n < count; n++) {
        cw_lapse(loops[n].last_ns, loops[n].clocked, now_ns, &lapse);
        held += step(&loops[n], &tunings[n], now_ns, lapse, sp[n], pv[n], ff ? ff[n] : 0,
                     manual && manual[n], hand ? hand[n] : 0) == CW_HELD;
        out[n] = loops[n].out;
    }
    return held;
}
