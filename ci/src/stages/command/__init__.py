"""The verbs: what each is for. The module of the same name says what it takes and does it.

A module is imported when its verb is asked for and not before, so that a verb needs no more of
this package than its own files: a change to one is no reason to run another again.

Each has `describe` (adds what it takes to a parser), `read` (the parsed words -> its arguments)
and `prepare` (arguments and environment -> what to run).
"""

VERBS = {
    "lock": "Write down a model and a base image to the byte: commit, files, digests.",
    "download": "Fetch exactly the lock's files, verified; a broken run goes on where it ended.",
    "verify": "Hold weights or a compile cache from elsewhere against what they should be.",
    "rootfs": "Write one tree with all that the image adds to its base, verified.",
    "image": "Make an OCI image layout of our layers over the lock's base, which is not fetched.",
    "layers": "Write one folder for each kind of layer, for makers that copy folders: Dockerfile.",
    "dockerfile": "Print what `docker build` must be told of a lock that is not the default one.",
    "smoke": "Ask an image, or the server that runs it, what users ask, and report the answers.",
    "scan": "Look for credentials in everything of ours that an image holds, and in logs.",
    "push": "Push an image that its reports name and pass; no blob travels twice.",
    "build": "Do all of it: a lock becomes an image in a registry, with no engine.",
    "deploy": "Write a Cloud Run service's manifest for an image, and how it is deployed.",
}
