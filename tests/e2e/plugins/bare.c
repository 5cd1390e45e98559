/* A library that is no plugin. */
int bare_number(void);
int bare_number(void) { return 17; }
