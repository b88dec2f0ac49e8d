"""Refusals of malformed requests, in the words of the services: people read them in a job's outcome."""

import pytest

from openstack_client import InvalidCloudRequestError

NOT_AN_INTEGER = "Invalid input for query parameters limit. Value: x. 'x' does not match '^[0-9]*$'"
PORTS = [
    ({}, "Failed to parse request. Required attribute 'network_id' not specified"),
    ({"network_id": "x"}, "Invalid input for network_id. Reason: 'x' is not a valid UUID."),
    ({"security_groups": ["x"]}, "Invalid input for security_groups. Reason: 'x' is not a valid UUID."),
    ({"security_groups": "x"}, "Invalid input for security_groups. Reason: 'x' is not a list."),
    ({"fixed_ips": "x"}, "Invalid input for fixed_ips. Reason: Invalid data format for fixed IP: 'x'."),
    ({"fixed_ips": [{"subnet_id": "x"}]}, "Invalid input for fixed_ips. Reason: 'x' is not a valid UUID."),
    ({"fixed_ips": [{"ip_address": "x"}]}, "Invalid input for fixed_ips. Reason: 'x' is not a valid IP address."),
]  # fmt: skip
SUBNETS = [
    ({"cidr": "x"}, "Invalid input for operation: x is not in a CIDR format."),
    ({"name": "x"}, "Bad subnets request: a subnetpool must be specified in the absence of a cidr."),
]
FLOATING_IPS = [
    ({}, "Failed to parse request. Required attribute 'floating_network_id' not specified"),
    ({"floating_network_id": "x"}, "Invalid input for floating_network_id. Reason: 'x' is not a valid UUID."),
    ({"port_id": "x"}, "Invalid input for port_id. Reason: 'x' is not a valid UUID."),
    ({"fixed_ip_address": "x"}, "Invalid input for fixed_ip_address. Reason: 'x' is not a valid IP address."),
]
_ORDER = "For TCP/UDP protocols, port_range_min must be <= port_range_max"
RULES = [
    ({"direction": "up"}, "Invalid input for direction. Reason: up is not in valid_values."),
    ({"ethertype": "IPv5"}, "Security group rule for ethertype 'IPv5' not supported. Allowed values are ['IPv4', 'IPv6']."),
    ({"protocol": "x"}, ("Security group rule protocol x not supported. Only protocol values [None, 'ah', 'dccp', 'egp', 'esp', "
     "'gre', 'hopopt', 'icmp', 'igmp', 'ip', 'ipip', 'ipv6-encap', 'ipv6-frag', 'ipv6-icmp', 'icmpv6', 'ipv6-nonxt', 'ipv6-opts', "
     "'ipv6-route', 'ospf', 'pgm', 'rsvp', 'sctp', 'tcp', 'udp', 'udplite', 'vrrp'] and integer representations [0 to 255] are "
     "supported.")),
    ({"protocol": "gre", "port_range_min": 1, "port_range_max": 2},
     "Ports cannot be specified for protocol 47. Ports are only supported for DCCP, SCTP, TCP, UDP, UDPLITE."),
    ({"port_range_min": 1, "port_range_max": 2}, "Must also specify protocol if port range is given."),
    ({"protocol": "tcp", "port_range_min": 0, "port_range_max": 2}, "Invalid value for port 0"),
    ({"protocol": "tcp", "port_range_min": 9, "port_range_max": 2}, _ORDER),
    ({"protocol": "tcp", "port_range_max": 2}, _ORDER),
    ({"protocol": "icmp", "port_range_min": 256}, "Invalid value for ICMP type (port_range_min) 256. It must be 0 to 255."),
    ({"protocol": "icmp", "port_range_min": 1, "port_range_max": 256},
     "Invalid value for ICMP code (port_range_max) 256. It must be 0 to 255."),
    ({"remote_ip_prefix": "x"}, "Invalid CIDR x given as IP prefix."),
    ({"remote_ip_prefix": "::/0"}, "Conflicting value ethertype IPv4 for CIDR ::/0"),
]  # fmt: skip
SERVERS = [
    ({"name": ""}, "Invalid input for field/attribute name. Value: . '' is too short"),
    ({"name": 7}, "Invalid input for field/attribute name. Value: 7. 7 is not of type 'string'"),
    ({"name": " x"}, ("An invalid 'name' value was provided. The name must be: printable characters. Can not start or end with "
     "whitespace.")),
    ({"tags": "x"}, "Invalid input for field/attribute tags. Value: x. 'x' is not of type 'array'"),
    ({"tags": [7]}, "Invalid input for field/attribute 0. Value: 7. 7 is not of type 'string'"),
    ({"tags": ["a,b"]}, "Invalid input for field/attribute 0. Value: a,b. 'a,b' does not match '^[^,/]*$'"),
    ({"metadata": "x"}, "Invalid input for field/attribute metadata. Value: x. 'x' is not of type 'object'"),
    ({"metadata": {"a": 7}}, "Invalid input for field/attribute a. Value: 7. 7 is not of type 'string'"),
    ({"networks": "x"}, "Invalid input for field/attribute networks. Value: x. 'x' is not valid under any of the given schemas"),
    ({"user_data": "a b"}, "Invalid input for field/attribute user_data. Value: a b. 'a b' is not a 'base64'"),
    ({"adminPass": 7}, "Invalid input for field/attribute adminPass. Value: 7. 7 is not of type 'string'"),
]  # fmt: skip
GROUPS = [
    ({"name": ""}, "Invalid input for field/attribute name. Value: . '' is too short"),
    ({"policy": "apart"}, ("Invalid input for field/attribute policy. Value: apart. 'apart' is not one of ['anti-affinity', "
     "'affinity', 'soft-anti-affinity', 'soft-affinity']")),
    ({"rules": {"max_server_per_host": 3}}, "Only anti-affinity policy supports rules."),
]  # fmt: skip
KEYPAIRS = [
    ({"name": "a@b"}, ("An invalid 'name' value was provided. The name must be: Only expected characters: [_- 0123456789"
     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ]")),
    ({"name": 7}, "Invalid input for field/attribute name. Value: 7. 7 is not of type 'string'"),
]  # fmt: skip


def check(cloud, service, path, body, words, microversion=None):
    """Send a request that is refused with 400 and exactly these words."""
    method = "GET" if body is None else "POST"
    with pytest.raises(InvalidCloudRequestError) as caught:
        cloud._transport.request(
            service, method, path, doing="try", json=body, microversion=microversion, secrets=()
        )
    assert caught.value.message == f"Could not try: {service} answered 400: {words}"
    assert caught.value.status_code == 400


def test_neutron(cloud, server_resources, external, make_group):
    network = {"network_id": server_resources[2].id}
    rule = {"security_group_id": make_group().id, "direction": "ingress"}
    check(cloud, "network", "/ports", {"x": 1}, "Unable to find 'port' in request body")
    for path, key, good, cases in (
        ("/ports", "port", network, PORTS),
        ("/subnets", "subnet", {**network, "ip_version": 4}, SUBNETS),
        ("/floatingips", "floatingip", {"floating_network_id": external.id}, FLOATING_IPS),
        ("/security-group-rules", "security_group_rule", rule, RULES),
    ):
        for wrong, words in cases:
            check(cloud, "network", path, {key: {**good, **wrong} if wrong else {}}, words)


def test_nova(cloud, server_resources, tag):
    flavor, image, _ = server_resources
    server = {"name": tag, "flavorRef": flavor.id, "imageRef": image.id, "networks": "none"}
    for path, key, good, cases in (
        ("/servers", "server", server, SERVERS),
        ("/os-server-groups", "server_group", {"name": tag, "policy": "affinity"}, GROUPS),
        ("/os-keypairs", "keypair", {"name": tag, "public_key": "x"}, KEYPAIRS),
    ):
        for wrong, words in cases:
            check(cloud, "compute", path, {key: {**good, **wrong}}, words, "2.69")
        check(cloud, "compute", f"{path}?limit=x", None, NOT_AN_INTEGER, "2.69")
