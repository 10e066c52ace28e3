"""A real node: kubelet, containerd, CoreDNS and a registry around the control plane, for the end-to-end tests.

Needs root and the Debian packages of `packages.txt`. Everything runs in a network namespace of its own, which has no
way out.
"""
