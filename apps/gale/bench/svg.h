/* Shapes and texts of an SVG drawing. */
#ifndef GALE_BENCH_SVG_H
#define GALE_BENCH_SVG_H

#include <stdio.h>

enum { SVG_COLOURS = 8 };
extern const char *const svg_colours[SVG_COLOURS];

void svg_begin(FILE *to, double width, double height);
void svg_end(FILE *to);
/* anchor: "start", "middle" or "end". What is not printable ASCII becomes a question mark. */
void svg_text(FILE *to, double x, double y, const char *anchor, const char *text);
void svg_title(FILE *to, double x, double y, const char *text);
void svg_rule(FILE *to, double x1, double y1, double x2, double y2, const char *colour);
void svg_bar(FILE *to, double x, double y, double width, double height, const char *colour);

#endif
