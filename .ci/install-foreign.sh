#!/usr/bin/env bash
# Installs from Debian what the tests with foreign software need, all at once and quick where it is there already. (What comes from PyPI,
# Maven Central and the Go module proxy, the tests fetch themselves: test/support/foreign-clients.ts.) Never fails: what is missing
# afterwards is named here, and the tests that need it say so too.
set -uo pipefail

rabbitmq=/usr/lib/rabbitmq/bin/rabbitmq-server
wanted=()
need() { # program package…
  command -v "$1" >/dev/null || wanted+=("${@:2}")
}
need kcat kcat
need amqp-get amqp-tools
need javac default-jdk-headless
need mvn maven
need go golang-go
need "$rabbitmq" rabbitmq-server
need etcd etcd-server
need etcdctl etcd-client
/usr/bin/python3 -c 'import venv, ensurepip' 2>/dev/null || wanted+=(python3 python3-venv)
/usr/bin/python3 -c 'import confluent_kafka' 2>/dev/null || wanted+=(python3 python3-confluent-kafka)

if [ ${#wanted[@]} -gt 0 ]; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    # Debian starts RabbitMQ as a service when it installs it, unless it is told not to.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && trap 'rm -f "$policy"' EXIT
    fi
    apt=(apt-get -o DPkg::Lock::Timeout=300 -qq)
    "${apt[@]}" update
    # One by one where all at once fails, so that one that is not to be had keeps no other away.
    "${apt[@]}" install -y --no-install-recommends "${wanted[@]}" >/dev/null ||
      for package in "${wanted[@]}"; do
        "${apt[@]}" install -y --no-install-recommends "$package" >/dev/null
      done
  else
    echo "Only root can install for the tests with foreign clients: apt-get install ${wanted[*]}" >&2
  fi
fi

for program in kcat amqp-get javac mvn go python3 etcd etcdctl "$rabbitmq"; do
  command -v "$program" >/dev/null || echo "Missing for the tests with foreign clients: $program" >&2
done
exit 0
