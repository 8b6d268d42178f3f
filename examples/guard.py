#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""guard.py: libhardy from Python, with nothing but ctypes. One file to copy.

    import guard

    search = guard.Guard("search", retry=dict(max_retries=3, base_delay=0.1), breaker=dict(failure_threshold=3),
                         timeout=2, deadline=10)

    def ask(call):                      # call.attempt from 1, call.left in seconds, call.cancelled()
        with urllib.request.urlopen(url, timeout=call.left) as answer:
            return answer.read()

    text = search.run(ask)

What ask() returns, run() returns. What it raises is judged: an OSError is a passing failure that is tried again,
urllib's HTTPError is judged by its status and headers, everything else is a mistake of the program and comes out as it
is. When hardy gives up, or refuses to call, run() raises one of HardyError's classes: Open, Limited, Exhausted...; the
last exception of ask() is its __cause__. A guard may be used by any number of threads; ctypes lets others run
meanwhile. Settings are those of hardy_guard_config(3) and so on, times in seconds.

Structures begin with their size. Those below are the first members of hardy's, so a library that knows more of them
works with this file: its init functions are told the size that is known here. Run as a program it asks addresses:

    guard.py URL...
"""
import ctypes
import ctypes.util
import errno
import os
import sys
import urllib.error
import urllib.request
from ctypes import POINTER, Structure, byref, c_bool, c_char, c_char_p, c_double, c_int, c_int32, c_int64, c_size_t, \
    c_uint32, c_void_p, sizeof

NEVER = 2**63 - 1
SECOND = 10**9


class Env(Structure):
    _fields_ = [("size", c_size_t), ("ctx", c_void_p), ("now", ctypes.CFUNCTYPE(c_int64, c_void_p)),
                ("wall", ctypes.CFUNCTYPE(c_int64, c_void_p))]


class Error(Structure):
    _fields_ = [("size", c_size_t), ("status", c_int), ("retry_after", c_int64), ("where", c_char * 160),
                ("message", c_char * 400)]


class Outcome(Structure):
    _fields_ = [("kind", c_int), ("effect", c_int), ("permanent", c_bool), ("code", c_int32), ("retry_after", c_int64),
                ("result", c_void_p), ("status", c_int)]


class OutcomeGiven(Outcome):
    """As functions return it, with room for what a later hardy puts behind."""
    _fields_ = [("room", ctypes.c_uint64 * 8)]


class RetryConfig(Structure):
    _fields_ = [("size", c_size_t), ("max_retries", c_uint32), ("base_delay", c_int64), ("max_delay", c_int64),
                ("exponential_base", c_double), ("jitter", c_int), ("max_total_wait", c_int64), ("repeatable", c_bool)]


class BreakerConfig(Structure):
    _fields_ = [("size", c_size_t), ("failure_threshold", c_uint32), ("failure_mode", c_int),
                ("failure_window", c_int64), ("recovery_timeout", c_int64), ("success_threshold", c_uint32)]


class RateConfig(Structure):
    _fields_ = [("size", c_size_t), ("events", c_double), ("period", c_int64), ("burst", c_double), ("reject", c_bool)]


class BulkheadConfig(Structure):
    _fields_ = [("size", c_size_t), ("max_concurrent", c_uint32), ("max_queue", c_uint32)]


class GuardConfig(Structure):
    _fields_ = [("size", c_size_t), ("name", c_char_p), ("deadline", c_int64), ("timeout", c_int64),
                ("timeout_first_content", c_int64), ("timeout_idle", c_int64), ("retry", POINTER(RetryConfig)),
                ("budget", c_void_p), ("breaker", POINTER(BreakerConfig)), ("wait_when_open", c_bool),
                ("rate", POINTER(RateConfig)), ("bulkhead", POINTER(BulkheadConfig))]


class CallData(Structure):
    _fields_ = [("size", c_size_t), ("attempt", c_uint32), ("deadline", c_int64)]


FUNCTION = ctypes.CFUNCTYPE(None, c_void_p, POINTER(CallData), POINTER(Outcome))

lib = ctypes.CDLL(os.environ.get("HARDY_LIBRARY") or ctypes.util.find_library("hardy") or "libhardy.so.0")
for name, result, *arguments in (
        ("guard_new", c_int, POINTER(GuardConfig), c_void_p, POINTER(c_void_p), POINTER(Error)),
        ("guard_free", None, c_void_p),
        ("guard_run", c_int, c_void_p, FUNCTION, c_void_p, c_int64, c_void_p, POINTER(Error)),
        ("call_cancelled", c_bool, POINTER(CallData)),
        ("status_name", c_char_p, c_int),
        ("outcome_of_errno", OutcomeGiven, c_int, c_bool),
        ("outcome_of_http", OutcomeGiven, c_int, c_int64),
        ("retry_after_init", None, c_void_p, c_size_t),
        ("retry_after_header", c_bool, c_void_p, c_char_p, c_char_p, c_int64),
        ("retry_after_wait", c_int64, c_void_p, c_int)):
    function = getattr(lib, "hardy_" + name)
    function.restype, function.argtypes = result, arguments


class HardyError(Exception):
    """`name` is the status, such as "E_OPEN"; `retry_after` seconds, or None."""

    def __init__(self, error):
        super().__init__(error.message.decode(errors="replace"))
        self.name = lib.hardy_status_name(error.status).decode()
        self.retry_after = error.retry_after / SECOND if error.retry_after >= 0 else None


# E_OPEN is raised as Open, and so on.
Open, Limited, Full, Budget, Deadline, Exhausted, Timeout, InDoubt, Failed, Invalid = KINDS = [
    type(name, (HardyError,), {}) for name in
    "Open Limited Full Budget Deadline Exhausted Timeout InDoubt Failed Invalid".split()]


def init(kind, function, settings):
    config = kind()
    getattr(lib, function)(byref(config), c_size_t(sizeof(kind)))
    spans = {field for field, of in kind._fields_ if of is c_int64}
    for field, value in settings.items():
        if field not in dict(kind._fields_):
            raise TypeError(f"{kind.__name__} has no {field}")
        setattr(config, field, int(value * SECOND) if field in spans else value)
    return config


class Call:
    """What the guarded function is told."""

    def __init__(self, data, now):
        self._data, self.attempt = data, data.contents.attempt
        self.left = None if data.contents.deadline == NEVER else max((data.contents.deadline - now) / SECOND, 0.001)

    def cancelled(self):
        return lib.hardy_call_cancelled(self._data)


def judge(error, wall):
    """An exception in the words of a guard; None: a mistake of the program."""
    if isinstance(error, urllib.error.HTTPError):
        told = (ctypes.c_uint64 * 64)()
        lib.hardy_retry_after_init(told, sizeof(told))
        for name, value in error.headers.items():
            lib.hardy_retry_after_header(told, name.encode(), value.encode(), wall)
        return lib.hardy_outcome_of_http(error.code, lib.hardy_retry_after_wait(told, error.code))
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError):
        error = error.reason
    if isinstance(error, OSError):
        number = errno.ETIMEDOUT if isinstance(error, TimeoutError) else error.errno or errno.ECONNRESET
        return lib.hardy_outcome_of_errno(number, number != errno.ECONNREFUSED)
    return None


class Guard:
    def __init__(self, name, retry=None, breaker=None, rate=None, bulkhead=None, **settings):
        self.env = Env()
        lib.hardy_env_system(byref(self.env), c_size_t(sizeof(Env)))
        config = init(GuardConfig, "hardy_guard_config_init", settings)
        config.name = name.encode()
        for layer, kind, given in (("retry", RetryConfig, retry), ("breaker", BreakerConfig, breaker),
                                   ("rate", RateConfig, rate), ("bulkhead", BulkheadConfig, bulkhead)):
            if given is not None:
                setattr(config, layer, ctypes.pointer(init(kind, f"hardy_{layer}_config_init", given)))
        self._guard, error = c_void_p(), self._error()
        self._check(lib.hardy_guard_new(byref(config), None, byref(self._guard), byref(error)), error)

    def __del__(self):
        if getattr(self, "_guard", None):
            lib.hardy_guard_free(self._guard)

    @staticmethod
    def _error():
        error = Error()
        lib.hardy_error_init(byref(error), c_size_t(sizeof(Error)))
        return error

    @staticmethod
    def _check(status, error, cause=None):
        if status != 0:
            error.status = status
            name = lib.hardy_status_name(status).decode()[2:].replace("_", "")
            raise next((kind for kind in KINDS if kind.__name__.upper() == name), HardyError)(error) from cause

    def run(self, function, *arguments):
        """function(call, *arguments) under the guard."""
        last = {}

        def attempt(_, data, outcome):  # no exception may pass through C
            last.clear()
            try:
                last["result"] = function(Call(data, self.env.now(None)), *arguments)
            except BaseException as error:
                last["raised"], judged = error, judge(error, self.env.wall(None))
                last["mistake"] = judged is None
                if judged is None:
                    judged = Outcome(kind=3, permanent=True)  # HARDY_IGNORED
                for field, _ in Outcome._fields_:
                    setattr(outcome.contents, field, getattr(judged, field))

        error = self._error()
        status = lib.hardy_guard_run(self._guard, FUNCTION(attempt), None, NEVER, None, byref(error))
        if last.get("mistake"):
            raise last["raised"]
        self._check(status, error, last.get("raised"))
        return last["result"]


def main():
    guard = Guard("example", retry=dict(max_retries=3, base_delay=0.05, repeatable=True),
                  breaker=dict(failure_threshold=3), timeout=2, deadline=5)

    def ask(call, url):
        print(f"  attempt {call.attempt}")
        with urllib.request.urlopen(url, timeout=call.left) as answer:
            return answer.read().decode().strip()

    failed = 0
    for url in sys.argv[1:]:
        print(url)
        try:
            print(" ", guard.run(ask, url))
        except HardyError as error:
            print(f"  {type(error).__name__}: {error}; the cause: {error.__cause__!r}")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
