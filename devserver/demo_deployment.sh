#!/bin/sh
# The demo's program of the executor `command`: it tells what a real one would do, and takes a while over it.
# A version whose label ends in "-broken" does not come up, so that one can watch it being put back.
[ "$PORTAL_ACTION" = running_version ] && { echo "running=$PORTAL_VERSION"; exit 0; }
echo "Fetching $PORTAL_ARTIFACT_URL"
sleep 2
echo "Restarting $PORTAL_SERVICE on $PORTAL_HOST, which ran $PORTAL_PREVIOUS_VERSION"
sleep 2
case "$PORTAL_VERSION" in
*-broken)
    echo "Version $PORTAL_VERSION does not answer on port $PORTAL_SERVICE_PORT"
    exit 16
    ;;
esac
echo "Version $PORTAL_VERSION answers on port $PORTAL_SERVICE_PORT"
