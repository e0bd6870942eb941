using System.Collections.Immutable;
using System.Numerics;
using System.Security.Cryptography;
using Fleet.Checking;
using Fleet.Client.Inventory;
using Fleet.Kernel;
using Fleet.Kernel.Host;
using Fleet.Kernel.Profiles;
using Fleet.Silo.Cluster;

namespace Fleet.Client.Scenarios;

/// <summary>A fault file: what strikes, when, and what it may cause.</summary>
public sealed record FaultPlan(string Name, ImmutableArray<Fault> Faults);

/// <summary>Turns a merged YAML map into a scenario, and refuses everything that scenario-format.md does not
/// describe.</summary>
public static class ScenarioReader
{
    /// <summary>Bounds that keep one process's memory and one run's files sane; each is above what one machine can
    /// drive.</summary>
    private const int ClientsMax = 100_000;
    private const int DevicesMax = 1_000_000;
    private const long ResourceBytesMax = 1L << 40;

    public static Scenario ReadScenario(ScenarioNode root)
    {
        var top = new MapReader(root, "");
        var name = ReadName(top);
        var claim = top.TakeText("claim", 500) ?? "";
        var profile = ReadProfile(top.Take("profile"), "profile") ?? "ALL";
        var expect = ReadExpect(top.Take("expect"));
        var seed = ReadSeed(top.Take("seed"));
        var fleet = ReadFleet(top.TakeMap("fleet"));
        var load = ReadLoad(top.TakeMap("load"));
        var unbind = ReadUnbind(top.TakeMap("unbind"));
        var cluster = ReadCluster(top.TakeMap("cluster"));
        var phases = ReadPhases(top, load.Arrival);
        var faults = ReadFaults(top.TakeList("faults"));
        var probes = ReadProbes(top.TakeMap("probes"));
        var thresholds = top.TakeList("thresholds")
            .Select((node, index) => ReadThreshold(node, $"thresholds.{index}"))
            .ToImmutableArray();
        top.End();
        return new(name, claim, profile, expect, seed, fleet, load, unbind, phases, faults, probes, thresholds)
        {
            Cluster = cluster,
        };
    }

    public static FaultPlan ReadFaultPlan(ScenarioNode root)
    {
        var top = new MapReader(root, "");
        var name = ReadName(top);
        _ = top.TakeText("claim", 500);
        _ = top.Require("faults", "a list of faults");
        var faults = ReadFaults(top.TakeList("faults"));
        top.End();
        return new(name, faults);
    }

    private static string ReadName(MapReader top)
    {
        var node = top.Require("name", "a name of letters, digits, '-' and '_'");
        return KebabCase(node, "name", 64);
    }

    private static string KebabCase(ScenarioNode node, string path, int lengthMax)
    {
        var text = MapReader.Text(node, path, lengthMax);
        return text.Length > 0 && text.All(
            character => char.IsAsciiLetterOrDigit(character) || character is '-' or '_' or '.')
            ? text
            : throw node.At.Error($"{path} is {MapReader.Describe(node)}", "letters, digits, '-', '_' and '.'");
    }

    /// <summary>The profile's own name, whatever alias was written.</summary>
    private static string? ReadProfile(ScenarioNode? node, string path)
    {
        if (node is null)
            return null;

        return KernelProfile.TryParse(KebabCase(node, path, 32), out var profile)
            ? profile.Name
            : throw node.At.Error(
                $"{path} is {MapReader.Describe(node)}",
                string.Join(", ", KernelProfile.All.Select(known => known.Name)));
    }

    private static ImmutableSortedDictionary<string, ExpectedVerdict> ReadExpect(ScenarioNode? node)
    {
        if (node is null)
            return ImmutableSortedDictionary<string, ExpectedVerdict>.Empty;

        var map = node as ScenarioMap ?? throw node.At.Error(
            "expect is not a map", "profiles with 'valid' or 'invalid'");
        var expected = ImmutableSortedDictionary.CreateBuilder<string, ExpectedVerdict>(StringComparer.Ordinal);
        foreach (var (key, entry) in map.Entries)
        {
            var profile = ReadProfile(new ScenarioScalar(entry.KeyAt, key, true), "a profile of expect")!;
            var verdict = MapReader.Word(
                entry.Value, $"expect.{key}", ("valid", ExpectedVerdict.Valid), ("invalid", ExpectedVerdict.Invalid));
            if (!expected.TryAdd(profile, verdict))
                throw entry.KeyAt.Error($"expect names {profile} twice, the second time as {key}", "each profile once");
        }

        return expected.ToImmutable();
    }

    /// <summary>The seed that a number stands for: itself, or, for 0, one drawn now.</summary>
    public static ulong SeedOf(long number)
    {
        var seed = (ulong)number;
        while (seed == 0)
            seed = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) >> 1;
        return seed;
    }

    private static ulong ReadSeed(ScenarioNode? node) =>
        SeedOf(node is null ? 1 : MapReader.Whole(node, "seed", 0, long.MaxValue));

    private static FleetOptions ReadFleet(MapReader? fleet)
    {
        fleet ??= Empty("fleet");
        var inventory = fleet.TakeText("inventory", 4096) ?? FleetOptions.Generated;
        var isGenerated = inventory == FleetOptions.Generated;
        var hosts = fleet.TakeInt("hosts", 1, 1, HostInventory.HostsMax);
        var devicesPerHost = fleet.TakeInt("devicesPerHost", 20, 1, 10_000);
        var replicate = fleet.TakeInt("replicate", 1, 1, HostInventory.HostsMax);
        var devicesMax = fleet.TakeInt("devices", 1, DevicesMax);
        var resources = fleet.TakeInt("resources", 1, 1, isGenerated ? GeneratedInventory.ResourcesMax : 6);
        var resourceSizeNode = fleet.Take("resourceSize");
        var resourceSize = resourceSizeNode is null ? 16L << 20 : MapReader.Size(
            resourceSizeNode, "fleet.resourceSize", 4096, ResourceBytesMax);
        if (resourceSizeNode is not null && !BitOperations.IsPow2(resourceSize))
            throw resourceSizeNode.At.Error(
                "fleet.resourceSize is no power of two", "a size that a BAR can have: 4KiB, 8KiB, … 1TiB");

        if (isGenerated && (long)hosts * devicesPerHost > DevicesMax)
            throw fleet.At.Error(
                $"fleet.hosts times fleet.devicesPerHost is {(long)hosts * devicesPerHost}",
                    $"at most {DevicesMax} devices");

        var sections = fleet.TakeWord(
            "sections", SectionPlacement.Own, ("own", SectionPlacement.Own), ("shared", SectionPlacement.Shared));
        var placement = fleet.TakeWord(
            "placement", GrainPlacement.Colocated, ("colocated", GrainPlacement.Colocated), (
                "spread", GrainPlacement.Spread));
        var drivers = fleet.TakeWeights("drivers", (at, word) => MapReader.Word(
            new ScenarioScalar(at, word, true), "a driver",
            ("p2pdma", DriverKind.P2pdma), ("dax", DriverKind.Dax), ("pmem-fsdax", DriverKind.PmemFsdax),
            ("pmem-raw", DriverKind.PmemRaw), ("hmm", DriverKind.Hmm)))
            ?? [new(DriverKind.P2pdma, 1)];
        fleet.End();
        return new(
            inventory, hosts, devicesPerHost, replicate, devicesMax, resources, resourceSize, sections, placement,
                drivers);
    }

    private static LoadOptions ReadLoad(MapReader? load)
    {
        load ??= Empty("load");
        var clients = load.TakeInt("clients", 64, 1, ClientsMax);
        var arrival = ReadArrival(load.TakeMap("arrival"));
        var operations = ReadOperations(load.TakeMap("operations"));
        var sizes = ReadSizes(load.TakeMap("size"));
        var hold = ReadHold(load.TakeMap("hold"));
        var devices = ReadDevices(load.TakeMap("devices"));
        var vector = load.TakeInt("vector", 1, 1, 256);
        var deadline = Positive(load, "deadline", TimeSpan.FromSeconds(3));
        load.End();
        return new(clients, arrival, operations, sizes, hold, devices, vector, deadline);
    }

    private static Arrival ReadArrival(MapReader? arrival)
    {
        if (arrival is null)
            return new Arrival.Closed();

        var isOpen = arrival.TakeWord("kind", false, ("closed", false), ("open", true));
        var rate = arrival.TakeMap("rate");
        if (isOpen && rate is null)
            throw arrival.At.Error("an open arrival has no rate", "rate: { kind: constant, perSecond: N }");

        if (!isOpen && rate is not null)
            throw rate.At.Error(
                "a closed arrival has no rate: its clients send when they are answered", "kind: open, or no rate");

        arrival.End();
        return isOpen ? new Arrival.Open(ReadRate(rate!)) : new Arrival.Closed();
    }

    private static Rate ReadRate(MapReader rate)
    {
        const double perSecondMax = 10_000_000;
        double PerSecond(string key, double min = 0.001) => rate.TakeNumber(key, min, perSecondMax)
            ?? throw rate.At.Error($"{rate.PathOf(key)} is missing", "operations per second");
        TimeSpan Over(string key) => Positive(rate, key, null);

        var read = rate.TakeWord<Func<Rate>>(
            "kind",
            () => new Rate.Constant(PerSecond("perSecond")),
            ("constant", () => new Rate.Constant(PerSecond("perSecond"))),
            ("ramp", () => new Rate.Ramp(PerSecond("from", 0), PerSecond("to", 0), Over("over"))),
            ("step", () => new Rate.Step(
                [.. rate.TakeList("perSecond").Select(
                    node => MapReader.Number(node, rate.PathOf("perSecond"), 0, perSecondMax))], Over("every"))),
            ("sine", () => new Rate.Sine(PerSecond("perSecond"), PerSecond("amplitude", 0), Over("period"))),
            ("burst", () => new Rate.Burst(PerSecond("perSecond", 0), PerSecond("peak"), Over("every"), Over("for"))),
            ("poisson", () => new Rate.Poisson(PerSecond("perSecond"))));
        var value = read();
        var (wrong, accepted) = value switch
        {
            Rate.Step step when !step.PerSecond.Any(one => one > 0) =>
                ("perSecond has no step above zero", "a list of rates, at least one above zero"),
            Rate.Ramp { FromPerSecond: 0, ToPerSecond: 0 } => ("from and to are both zero", "at least one above zero"),
            Rate.Sine sine when sine.AmplitudePerSecond > sine.PerSecond =>
                ("amplitude is larger than perSecond", "0 up to perSecond: a rate is never below zero"),
            Rate.Burst burst when burst.For > burst.Every =>
                ("for is longer than every", "a burst that ends before the next one begins"),
            _ => ("", ""),
        };
        if (wrong.Length > 0)
            throw rate.At.Error(rate.PathOf(wrong), accepted);

        rate.End();
        return value;
    }

    private static OperationWeights ReadOperations(MapReader? operations)
    {
        if (operations is null)
            return new(40, 40, 20, 0.02);

        double Weight(string key) => operations.TakeNumber(key, 0, 1e9) ?? 0;
        var weights = new OperationWeights(Weight("alloc"), Weight("access"), Weight("free"), Weight("unbind"));
        operations.End();
        return weights.Total > 0 ? weights : throw operations.At.Error(
            "load.operations has no weight above zero", "at least one");
    }

    private static ImmutableArray<Weighted<long>> ReadSizes(MapReader? size)
    {
        if (size is null)
            return [new(4096, 1)];

        static long SizeOf(ScenarioLocation at, string text) =>
            MapReader.Size(new ScenarioScalar(at, text, true), "load.size", 1, ResourceBytesMax);
        var isChoice = size.TakeWord("kind", false, ("constant", false), ("choice", true));
        var sizes = isChoice
            ? size.TakeWeights("of", SizeOf) ?? throw size.At.Error(
                "load.size.of is missing", "sizes with weights: { 4KiB: 70, 64KiB: 30 }")
            : [new Weighted<long>(
                size.TakeSize("value", 1, ResourceBytesMax) ?? throw size.At.Error(
                    "load.size.value is missing", Quantity.SizeForm), 1)];
        size.End();
        return sizes;
    }

    private static HoldTime ReadHold(MapReader? hold)
    {
        if (hold is null)
            return new HoldTime.Exponential(TimeSpan.FromMilliseconds(20), TimeSpan.FromSeconds(2));

        TimeSpan Of(string key) =>
            hold.TakeDuration(key) ?? throw hold.At.Error($"{hold.PathOf(key)} is missing", Quantity.DurationForm);
        var read = hold.TakeWord<Func<HoldTime>>(
            "kind",
            () => new HoldTime.Constant(Of("value")),
            ("constant", () => new HoldTime.Constant(Of("value"))),
            ("uniform", () => new HoldTime.Uniform(Of("min"), Of("max"))),
            ("exponential", () => new HoldTime.Exponential(Of("mean"), Of("max"))));
        var value = read();
        if (value is HoldTime.Uniform { Min: var min, Max: var max } && min > max)
            throw hold.At.Error("load.hold.min is longer than load.hold.max", "min up to max");

        hold.End();
        return value;
    }

    private static DeviceChoice ReadDevices(MapReader? devices)
    {
        if (devices is null)
            return new DeviceChoice.Uniform();

        var read = devices.TakeWord<Func<DeviceChoice>>(
            "kind",
            () => new DeviceChoice.Uniform(),
            ("uniform", () => new DeviceChoice.Uniform()),
            ("zipf", () => new DeviceChoice.Zipf(devices.TakeNumber("s", 0, 10) ?? 1)),
            ("hot", () => new DeviceChoice.Hot(
                devices.TakeInt("count", 1, 1, DevicesMax), devices.TakeNumber("share", 0, 1) ?? 0.9)));
        var value = read();
        devices.End();
        return value;
    }

    private static UnbindOptions ReadUnbind(MapReader? unbind)
    {
        unbind ??= Empty("unbind");
        var rebindAfter = unbind.TakeDuration("rebindAfter") ?? TimeSpan.FromMilliseconds(50);
        var withHolders = unbind.TakeWord(
            "withHolders", HolderPreference.Any,
            ("prefer", HolderPreference.Prefer), ("any", HolderPreference.Any), ("avoid", HolderPreference.Avoid));
        var patience = Positive(unbind, "patience", TimeSpan.FromSeconds(5));
        unbind.End();
        return new(rebindAfter, withHolders, patience);
    }

    private static ClusterSettings ReadCluster(MapReader? cluster)
    {
        if (cluster is null)
            return new();

        var liveness = cluster.TakeWord(
            "liveness", LivenessProfile.Default,
            ("default", LivenessProfile.Default), ("tuned", LivenessProfile.Tuned), ("fast", LivenessProfile.Fast));
        var directory = cluster.TakeWord(
            "directory", DirectoryKind.Local,
            ("local", DirectoryKind.Local), ("distributed", DirectoryKind.Distributed));
        var absent = new ClusterSettings();
        var lease = Positive(cluster, "lease", absent.Lease);
        if (directory is DirectoryKind.Local && cluster.Take("lease") is { } unused)
            throw unused.At.Error("cluster.lease is of the distributed directory", "directory: distributed beside it");

        var isFenced = cluster.TakeWord("fencing", true, ("on", true), ("off", false));
        var gateways = Positive(cluster, "gateways", absent.Gateways);
        cluster.End();
        return new()
        {
            Liveness = liveness,
            Directory = directory,
            Lease = lease,
            IsFenced = isFenced,
            Gateways = gateways,
        };
    }

    private static ImmutableArray<Phase> ReadPhases(MapReader top, Arrival arrival)
    {
        if (top.Take("phases") is null)
            return [new("steady", TimeSpan.FromSeconds(20), 1), new(Phase.Drain, TimeSpan.FromSeconds(10), 0)];

        var phases = top.TakeList("phases").Select((node, index) => ReadPhase(node, $"phases.{index}", arrival))
            .ToImmutableArray();
        var at = top.Take("phases")!.At;
        if (phases.IsEmpty || phases.All(phase => phase.RateShare == 0))
            throw at.Error("phases has no phase that sends", "at least one with a rate above zero");

        if (phases.SkipLast(1).Any(phase => phase.Name == Phase.Drain))
            throw at.Error($"a phase follows {Phase.Drain}", $"{Phase.Drain} as the last phase");

        return phases.Select(phase => phase.Name).Distinct().Count() == phases.Length
            ? phases
            : throw at.Error("two phases have one name", "each name once");
    }

    private static Phase ReadPhase(ScenarioNode node, string path, Arrival arrival)
    {
        var phase = new MapReader(node, path);
        var name = KebabCase(phase.Require("name", "a name"), $"{path}.name", 32);
        var duration = Positive(phase, "for", null);
        if (phase.Take("rate") is ScenarioMap own)
        {
            if (arrival is not Arrival.Open || name == Phase.Drain)
                throw own.At.Error(
                    $"{path}.rate is a rate of its own", "a share of the load from 0 to 10; a rate in an open arrival");

            var rate = ReadRate(phase.TakeMap("rate")!);
            phase.End();
            return rate is not Rate.Poisson ? new(name, duration, 1, rate) : throw own.At.Error(
                $"{path}.rate.kind is poisson",
                "constant, ramp, step, sine, burst; load.arrival.rate chooses the gaps");
        }

        var share = phase.TakeNumber("rate", 0, name == Phase.Drain ? 0 : 10) ?? (name == Phase.Drain ? 0 : 1);
        phase.End();
        return new(name, duration, share);
    }

    private static ImmutableArray<string> ReadProbes(MapReader? probes)
    {
        if (probes is null)
            return [];

        var required = probes.TakeList("require").Select(node => ReadProbe(node, "probes.require"))
            .ToImmutableArray();
        probes.End();
        return required;
    }

    private static ImmutableArray<Fault> ReadFaults(IReadOnlyList<ScenarioNode> nodes) =>
        [.. nodes.Select((node, index) => ReadFault(node, $"faults.{index}"))];

    private static Fault ReadFault(ScenarioNode node, string path)
    {
        var fault = new MapReader(node, path);
        var kind = MapReader.Word(
            fault.Require("kind", "inject, silo-kill, …"), $"{path}.kind",
            ("inject", FaultKind.Inject), ("silo-kill", FaultKind.SiloKill), ("silo-pause", FaultKind.SiloPause),
            ("silo-restart", FaultKind.SiloRestart), ("partition", FaultKind.Partition), ("db-kill", FaultKind.DbKill),
            ("db-slow", FaultKind.DbSlow), ("db-cut", FaultKind.DbCut), ("isolate", FaultKind.Isolate),
            ("message", FaultKind.Message), ("surprise-remove", FaultKind.SurpriseRemove),
            ("generator-kill", FaultKind.GeneratorKill));
        var isInjection = kind is FaultKind.Inject;
        FailPoint? point = isInjection ? ReadPoint(fault, $"{path}.point") : null;
        Errno? errno = point is { } step ? ReadErrno(fault, $"{path}.errno", FailPoints.DefaultErrno(step)) : null;
        var target = isInjection ? null : fault.TakeText("target", 64);
        var when = ReadSchedule(fault);
        var duration = fault.TakeDuration("for");
        var expect = fault.TakeList("expect").Select(
            expected => KebabCase(expected, $"{path}.expect", 64)).ToImmutableArray();
        fault.End();
        return new(kind, point, errno, target, when, duration, expect);
    }

    private static FailPoint ReadPoint(MapReader fault, string path)
    {
        var accepted = string.Join(", ", FailPoints.Names);
        var node = fault.Require("point", accepted);
        return FailPoints.TryParse(MapReader.Text(node, path), out var point)
            ? point
            : throw node.At.Error($"{path} is {MapReader.Describe(node)}", accepted);
    }

    private static Errno ReadErrno(MapReader fault, string path, Errno absent)
    {
        if (fault.Take("errno") is not { } node)
            return absent;

        var names = Enum.GetNames<Errno>().Where(name => name != nameof(Errno.OK)).ToList();
        var text = MapReader.Text(node, path);
        return names.Contains(text)
            ? Enum.Parse<Errno>(text)
            : throw node.At.Error($"{path} is {MapReader.Describe(node)}", string.Join(", ", names));
    }

    /// <summary>Both words are in use: <c>every</c> for what may strike again and again, <c>at</c> for a
    /// time.</summary>
    private static FaultSchedule ReadSchedule(MapReader fault)
    {
        var every = fault.TakeMap("every");
        var at = fault.TakeMap("at");
        var schedule = (every, at) switch
        {
            ({ } one, null) => one,
            (null, { } one) => one,
            _ => throw fault.At.Error(
                "a fault needs one of every and at",
                    "every: { kind: probability, p: 0.05 }, or at: { kind: interval, mean: 20s }"),
        };
        var read = MapReader.Word<Func<FaultSchedule>>(
            schedule.Require("kind", "probability, nth, at or interval"), schedule.PathOf("kind"),
            ("probability", () => new FaultSchedule.Probability(
                schedule.TakeNumber("p", 0, 1) ?? throw schedule.At.Error(
                    $"{schedule.PathOf("p")} is missing", "a share from 0 to 1"))),
            ("nth", () => new FaultSchedule.Nth(
                schedule.TakeLong("n", 1, long.MaxValue) ?? throw schedule.At.Error(
                    $"{schedule.PathOf("n")} is missing", "a whole number from 1"))),
            ("at", () => new FaultSchedule.At(
                schedule.TakeDuration("after") ?? throw schedule.At.Error(
                    $"{schedule.PathOf("after")} is missing", Quantity.DurationForm))),
            ("interval", () => new FaultSchedule.Interval(Positive(schedule, "mean", null))));
        var value = read();
        schedule.End();
        return value;
    }

    private static Threshold ReadThreshold(ScenarioNode node, string path)
    {
        var threshold = new MapReader(node, path);
        var accepted = string.Join(", ", ThresholdMetric.All.Select(known => known.Name));
        var metricNode = threshold.Require("metric", accepted);
        var metric = ThresholdMetric.Find(MapReader.Text(metricNode, $"{path}.metric"))
            ?? throw metricNode.At.Error($"{path}.metric is {MapReader.Describe(metricNode)}", accepted);
        var of = metric.Subject switch
        {
            MetricSubject.Operation => threshold.TakeWord<string?>(
                "of", null, ("alloc", "alloc"), ("access", "access"), ("free", "free"), ("unbind", "unbind"),
                ("bind", "bind")),
            MetricSubject.Probe => ReadProbe(
                threshold.Require("of", $"a probe: {string.Join(", ", Probes.Names)}"), $"{path}.of"),
            _ => null,
        };
        var below = ReadLimit(threshold, "below", metric);
        var above = ReadLimit(threshold, "above", metric);
        if (below is null == above is null)
            throw threshold.At.Error($"{path} needs one of below and above", "below: 50ms, or above: 0.98");

        var abort = threshold.TakeYesNo("abortOnFail", false);
        if (abort && metric.IsSlope)
            throw threshold.At.Error(
                $"{path}.abortOnFail is true for {metric.Name}, which is known only at the end", "false, or no key");

        var after = threshold.TakeDuration("after") ?? TimeSpan.Zero;
        threshold.End();
        return new(metric.Name, of, below, above, abort, after);
    }

    private static double? ReadLimit(MapReader threshold, string key, ThresholdMetric metric) => metric.Unit switch
    {
        MetricUnit.Milliseconds => threshold.TakeDuration(key)?.TotalMilliseconds,
        MetricUnit.Bytes or MetricUnit.BytesPerHour => threshold.TakeSize(key, 0, 1L << 50),
        MetricUnit.Share => threshold.TakeNumber(key, 0, 1),
        _ => threshold.TakeNumber(key, 0, 1e12),
    };

    private static string ReadProbe(ScenarioNode node, string path)
    {
        var name = KebabCase(node, path, 64);
        return Probes.Names.Contains(name)
            ? name
            : throw node.At.Error($"{path} is {MapReader.Describe(node)}", string.Join(", ", Probes.Names));
    }

    private static TimeSpan Positive(MapReader map, string key, TimeSpan? absent)
    {
        if (map.Take(key) is not { } node)
            return absent ?? throw map.At.Error($"{map.PathOf(key)} is missing", Quantity.DurationForm);

        var duration = MapReader.Duration(node, map.PathOf(key));
        return duration > TimeSpan.Zero ? duration : throw node.At.Error(
            $"{map.PathOf(key)} is zero", "a duration above zero");
    }

    private static MapReader Empty(string path) =>
        new(new ScenarioMap(new("the scenario", 0, 0), new Dictionary<string, ScenarioEntry>()), path);
}
