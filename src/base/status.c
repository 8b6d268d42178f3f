/* SPDX-License-Identifier: Apache-2.0 */
#include <hardy/hardy.h>

const char *hardy_version(void) {
    return HARDY_VERSION;
}

const char *hardy_status_text(hardy_status status) {
    switch (status) {
#define X(name, value, class_, text)                                                               \
    case HARDY_##name:                                                                             \
        return text;
        HARDY_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

const char *hardy_status_name(hardy_status status) {
    switch (status) {
#define X(name, value, class_, text)                                                               \
    case HARDY_##name:                                                                             \
        return #name;
        HARDY_STATUS_MAP(X)
#undef X
    }
    return "unknown";
}

hardy_status_class hardy_status_class_of(hardy_status status) {
    switch (status) {
#define X(name, value, class_, text)                                                               \
    case HARDY_##name:                                                                             \
        return HARDY_CLASS_##class_;
        HARDY_STATUS_MAP(X)
#undef X
    }
    return HARDY_CLASS_BUG;
}
