/* The portable kernels, by name: the definition of every result. */
#ifndef PORTABLE_PORTABLE_H
#define PORTABLE_PORTABLE_H

#include "backend/cpu/kernels/kernels.h"

void portable_linear_f32(const linear_task *t);
void portable_linear_f16(const linear_task *t);
void portable_linear_bf16(const linear_task *t);
void portable_linear_q8_0(const linear_task *t);
void portable_linear_q4_0(const linear_task *t);
void portable_linear_q4_1(const linear_task *t);
void portable_linear_q5_0(const linear_task *t);
void portable_linear_q5_1(const linear_task *t);
void portable_linear_q2_k(const linear_task *t);
void portable_linear_q3_k(const linear_task *t);
void portable_linear_q4_k(const linear_task *t);
void portable_linear_q5_k(const linear_task *t);
void portable_linear_q6_k(const linear_task *t);
void portable_linear_iq4_nl(const linear_task *t);
void portable_linear_iq4_xs(const linear_task *t);
void portable_outliers_q8_0(const linear_task *t);
void portable_outliers_q4_0(const linear_task *t);
void portable_outliers_q4_1(const linear_task *t);
void portable_outliers_q5_0(const linear_task *t);
void portable_outliers_q5_1(const linear_task *t);
void portable_outliers_q2_k(const linear_task *t);
void portable_outliers_q3_k(const linear_task *t);
void portable_outliers_q4_k(const linear_task *t);
void portable_outliers_q5_k(const linear_task *t);
void portable_outliers_q6_k(const linear_task *t);
void portable_outliers_iq4_nl(const linear_task *t);
void portable_outliers_iq4_xs(const linear_task *t);
void portable_attend_f16(const attend_task *t);
void portable_attend_f32(const attend_task *t);
void portable_attend_q8(const attend_task *t);
void portable_probe(cpu_kernels *k);

#endif
