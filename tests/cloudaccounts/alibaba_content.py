"""Contents of the simulated Alibaba Cloud in the tests: an object of each kind, as the vendor's documentation shows it."""

from __future__ import annotations

ACCESS_KEY, SECRET_KEY = "LTAI5tPortalTests00000001", "a-secret+of/tests=that-nobody-may-see"
# The member with the id of an object, by kind.
ID_MEMBERS = {
    "zone": "ZoneId",
    "network": "VpcId",
    "subnet": "VSwitchId",
    "security_group": "SecurityGroupId",
    "snapshot": "SnapshotId",
    "volume": "DiskId",
    "keypair": "KeyPairName",
    "image": "ImageId",
    "server": "InstanceId",
    "port": "NetworkInterfaceId",
    "floating_ip": "AllocationId",
    "load_balancer": "LoadBalancerId",
    "cache": "InstanceId",
    "database": "DBInstanceId",
}
# As many tags as the vendor allows for an object, with names that differ in their case alone.
TAGS = {"env": "prod", "Env": "PROD", **{f"team:{number}": "x" * 128 for number in range(48)}}


def ecs_tags(tags):
    return {"Tag": [{"TagKey": name, "TagValue": value} for name, value in tags.items()]}


def vpc_tags(tags):
    return {"Tag": [{"Key": name, "Value": value} for name, value in tags.items()]}


def add_volume(state, region, number, **members):
    return state.add(
        region,
        "volume",
        **{
            "DiskId": f"d-{number:04}",
            "DiskName": f"disk {number}",
            "Status": "Available",
            "Size": 40,
            "Category": "cloud_essd",
            "PerformanceLevel": "PL1",
            "Type": "data",
            "DiskChargeType": "PostPaid",
            "ExpiredTime": "2099-12-31T15:59Z",
            "CreationTime": "2026-03-01T02:03:04Z",
            "ZoneId": f"{region}-b",
            "InstanceId": "",
            "Attachments": {"Attachment": []},
            "Tags": {"Tag": []},
            **members,
        },
    )


def add_server(state, region, number, **members):
    """Add an instance with the members that the vendor documents, of which the portal reads some."""
    return state.add(
        region,
        "server",
        **{
            "InstanceId": f"i-{number:04}",
            "InstanceName": f"网站 {number} 😀",
            "Status": "Running",
            "InstanceType": "ecs.g7.large",
            "Cpu": 2,
            "Memory": 8192,
            "ZoneId": f"{region}-b",
            "RegionId": region,
            "ImageId": "m-golden",
            "OSName": "Ubuntu  22.04 64位",
            "OSNameEn": "Ubuntu  22.04 64 bit",
            "OSType": "linux",
            "KeyPairName": "deploy",
            "Description": "",
            "InstanceChargeType": "PrePaid",
            "ExpiredTime": "2027-01-31T16:00Z",
            "CreationTime": "2026-01-31T02:04Z",
            "InstanceNetworkType": "vpc",
            "SecurityGroupIds": {"SecurityGroupId": ["sg-web"]},
            "VpcAttributes": {
                "VpcId": "vpc-1",
                "VSwitchId": "vsw-1",
                "NatIpAddress": "",
                "PrivateIpAddress": {"IpAddress": [f"172.16.0.{number}"]},
            },
            "PublicIpAddress": {"IpAddress": []},
            "InnerIpAddress": {"IpAddress": []},
            "EipAddress": {"AllocationId": "", "IpAddress": "", "InternetChargeType": ""},
            "NetworkInterfaces": {
                "NetworkInterface": [
                    {
                        "NetworkInterfaceId": f"eni-{number}",
                        "PrimaryIpAddress": f"172.16.0.{number}",
                        "MacAddress": "00:16:3e:00:00:01",
                        "Type": "Primary",
                        "Ipv6Sets": {"Ipv6Set": [{"Ipv6Address": f"2001:db8::{number}"}]},
                    }
                ]
            },
            "OperationLocks": {"LockReason": []},
            "Tags": ecs_tags(TAGS),
            **members,
        },
    )


def fill(state, region):
    """Add one of each kind, and two servers."""
    network = {"VpcId": "vpc-1", "VSwitchId": "vsw-1"}
    state.add(
        region,
        "network",
        VpcId="vpc-1",
        VpcName="内网",
        Status="Available",
        CidrBlock="172.16.0.0/12",
        SecondaryCidrBlocks={"SecondaryCidrBlock": ["10.0.0.0/8"]},
        Ipv6CidrBlock="",
        IsDefault=True,
        CreationTime="2026-01-01T00:00:00Z",
        Tags=vpc_tags({"env": "prod"}),
    )
    state.add(
        region,
        "subnet",
        VSwitchId="vsw-1",
        VSwitchName="web",
        VpcId="vpc-1",
        CidrBlock="172.16.0.0/24",
        ZoneId=f"{region}-b",
        Status="Available",
        AvailableIpAddressCount=250,
        IsDefault=False,
        CreationTime="2026-01-01T00:00:00Z",
    )
    state.add(
        region,
        "security_group",
        SecurityGroupId="sg-web",
        SecurityGroupName="web",
        Description="网站",
        VpcId="vpc-1",
        SecurityGroupType="normal",
        CreationTime="2026-01-01T00:00:00Z",
        Tags=ecs_tags({"env": "prod"}),
        Permissions=[
            {
                "Direction": "ingress",
                "IpProtocol": "TCP",
                "PortRange": "443/443",
                "SourceCidrIp": "0.0.0.0/0",
                "Policy": "Accept",
                "Priority": "1",
                "Description": "world",
            },
            {
                "Direction": "ingress",
                "IpProtocol": "ALL",
                "PortRange": "-1/-1",
                "SourceCidrIp": "",
                "SourceGroupId": "sg-office",
                "Policy": "Drop",
                "Priority": 100,
            },
            {
                "Direction": "egress",
                "IpProtocol": "UDP",
                "PortRange": "1/65535",
                "Ipv6DestCidrIp": "::/0",
                "Policy": "Accept",
                "Priority": 1,
            },
        ],
    )
    state.add(
        region,
        "keypair",
        KeyPairName="deploy",
        KeyPairFingerPrint="89f0ba62ac70d2eb0e6cb1a1d0d54e6f",
        CreationTime="2026-01-01T00:00Z",
        Tags=ecs_tags({}),
    )
    state.add(
        region,
        "image",
        ImageId="m-golden",
        ImageName="golden",
        ImageOwnerAlias="self",
        Status="Available",
        Architecture="x86_64",
        OSNameEn="Ubuntu  22.04 64 bit",
        Size=40,
        IsPublic=False,
        CreationTime="2026-02-01T00:00:00Z",
        DiskDeviceMappings={
            "DiskDeviceMapping": [{"SnapshotId": "s-1", "Size": "40", "Device": "/dev/xvda"}]
        },
        Tags=ecs_tags({}),
    )
    # One that is being made, which is only listed when it is asked for; and one of the vendor's.
    state.add(region, "image", ImageId="m-new", ImageName="new", ImageOwnerAlias="self", Status="Creating")
    state.add(region, "image", ImageId="ubuntu", ImageName="u", ImageOwnerAlias="system", Status="Available")
    add_server(state, region, 1, EipAddress={"AllocationId": "eip-1", "IpAddress": "203.0.113.7"})
    add_server(
        state, region, 2, InstanceChargeType="PostPaid", ExpiredTime="2099-12-31T15:59Z", Tags=ecs_tags({})
    )
    add_volume(
        state,
        region,
        1,
        Status="In_use",
        DiskChargeType="PrePaid",
        ExpiredTime="2027-01-31T16:00Z",
        SourceSnapshotId="s-0",
        InstanceId="i-0001",
        Device="/dev/xvda",
        Attachments={"Attachment": [{"InstanceId": "i-0001", "Device": "/dev/xvda"}]},
    )
    state.add(
        region,
        "port",
        NetworkInterfaceId="eni-1",
        NetworkInterfaceName="",
        Status="InUse",
        Type="Primary",
        MacAddress="00:16:3e:00:00:01",
        PrivateIpAddress="172.16.0.1",
        PrivateIpSets={
            "PrivateIpSet": [
                {"PrivateIpAddress": "172.16.0.1", "Primary": True},
                {
                    "PrivateIpAddress": "172.16.0.77",
                    "AssociatedPublicIp": {"PublicIpAddress": "203.0.113.77"},
                },
            ]
        },
        Ipv6Sets={"Ipv6Set": [{"Ipv6Address": "2001:db8::1"}]},
        AssociatedPublicIp={},
        SecurityGroupIds={"SecurityGroupId": ["sg-web"]},
        InstanceId="i-0001",
        ZoneId=f"{region}-b",
        CreationTime="2026-01-31T02:04:00Z",
        Tags=ecs_tags({}),
        **network,
    )
    state.add(
        region,
        "snapshot",
        SnapshotId="s-1",
        SnapshotName="before the upgrade",
        SourceDiskId="d-0001",
        SourceDiskSize="40",
        Status="accomplished",
        Progress="100%",
        SnapshotType="user",
        CreationTime="2026-03-01T00:00:00Z",
        Tags=ecs_tags({}),
    )
    state.add(
        region,
        "floating_ip",
        AllocationId="eip-1",
        Name="",
        IpAddress="203.0.113.7",
        Status="InUse",
        InstanceId="i-0001",
        InstanceType="EcsInstance",
        PrivateIpAddress="172.16.0.1",
        Bandwidth="5",
        ChargeType="PostPaid",
        ExpiredTime="",
        AllocationTime="2026-01-01T00:00:00Z",
        Tags=vpc_tags({"env": "prod"}),
    )
    state.add(
        region,
        "load_balancer",
        LoadBalancerId="lb-1",
        LoadBalancerName="front",
        LoadBalancerStatus="active",
        Address="203.0.113.9",
        AddressType="internet",
        MasterZoneId=f"{region}-b",
        SlaveZoneId=f"{region}-g",
        LoadBalancerSpec="slb.s1.small",
        PayType="PayOnDemand",
        CreateTime="2026-01-01T00:00:00Z",
        Tags=ecs_tags({"env": "prod"}),
        **network,
    )
    state.add(
        region,
        "cache",
        InstanceId="r-1",
        InstanceName="sessions",
        InstanceStatus="Normal",
        InstanceType="Redis",
        EngineVersion="7.0",
        InstanceClass="redis.shard.small.2.ce",
        Capacity=1024,
        ZoneId=f"{region}-b",
        ConnectionDomain="r-1.redis.rds.aliyuncs.com",
        Port=6379,
        PrivateIp="172.16.0.9",
        ChargeType="PrePaid",
        EndTime="2027-02-28T16:00:00Z",
        CreateTime="2026-01-01T00:00:00Z",
        Tags=vpc_tags({"env": "prod"}),
        **network,
    )
    state.add(
        region,
        "database",
        DBInstanceId="rm-1",
        DBInstanceDescription="orders",
        DBInstanceStatus="Running",
        Engine="PostgreSQL",
        EngineVersion="16.0",
        DBInstanceClass="pg.n2.2c.1m",
        DBInstanceStorage=20,
        DBInstanceCPU="2",
        DBInstanceMemory=4096,
        ConnectionString="rm-1.pg.rds.aliyuncs.com",
        Port="5432",
        ZoneId=f"{region}-b",
        PayType="Prepaid",
        ExpireTime="2027-03-31T16:00:00Z",
        LockMode="Unlock",
        CreateTime="2026-01-01T00:00:00Z",
        **network,
    )
