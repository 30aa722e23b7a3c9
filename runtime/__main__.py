"""PID 1 of the image: becomes vLLM's server in this very process.

It stays thin because a spawned engine process runs it again, as `__mp_main__`.
"""

if __name__ == "__main__":
    import os
    import signal

    # As PID 1 a process without a handler never sees SIGTERM, and vLLM's own handler comes only
    # after its imports. See https://man7.org/linux/man-pages/man7/pid_namespaces.7.html
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    from runtime.start import main

    main()

if __name__ == "__mp_main__":
    from runtime.engine_log import listen

    listen()
