#!/usr/bin/env bash
# Software of others that tests compare this project with, installed by the package clients of the machine. What cannot be
# installed is told; whether a test may do without it is the test's business.
set -uo pipefail

# RabbitMQ, for test/conformance/rabbitmq: the package only, no service.
install_rabbitmq() {
  [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && return
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo 'burrow: only root can install RabbitMQ: apt-get install rabbitmq-server' >&2
    return 1
  fi
  # Debian starts a service when it installs one, unless it is told not to.
  local policy=/usr/sbin/policy-rc.d made=''
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=yes
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rabbitmq-server
  local result=$?
  [ -z "$made" ] || rm -f "$policy"
  return "$result"
}

install_rabbitmq
