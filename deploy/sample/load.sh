#!/bin/sh
# A gentle load for the sample services, so that no page is empty: about ten requests a second, a few of them bad.
edge=http://sightglass:8080
i=0
while :; do
  i=$((i + 1))
  curl -s -o /dev/null "$edge/checkout/orders/$i"
  curl -s -o /dev/null "$edge/"
  [ $((i % 20)) -eq 0 ] && curl -s -o /dev/null "$edge/broken"
  [ $((i % 30)) -eq 0 ] && curl -s -o /dev/null "$edge/slow"
  sleep 0.2
done
