using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Machines;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Wire;

// The wire form of Protocol's records, which know nothing of Orleans; those of the hot operations are in
// PackedRecords.cs. Between objects of one silo nothing is copied: hot arguments are marked immutable. Ids and aliases
// are frozen by an approval file.
namespace Fleet.Grains.Serialization;

[GenerateSerializer, Immutable, Alias("fleet.At")]
public readonly record struct AtSurrogate(
    [property: Id(0)] int Gen,
    [property: Id(1)] long Seq,
    [property: Id(2)] int Life);

[RegisterConverter]
public sealed class AtConverter : IConverter<At, AtSurrogate>
{
    public At ConvertFromSurrogate(in AtSurrogate surrogate) =>
        new(surrogate.Gen, surrogate.Seq, surrogate.Life);

    public AtSurrogate ConvertToSurrogate(in At value) =>
        new(value.Gen, value.Seq, value.Life);
}

[GenerateSerializer, Immutable, Alias("fleet.PinRequest")]
public readonly record struct PinRequestSurrogate(
    [property: Id(0)] long Op,
    [property: Id(1)] int Session,
    [property: Id(2)] long Page,
    [property: Id(3)] int Client,
    [property: Id(4)] int KnownGen);

[RegisterConverter]
public sealed class PinRequestConverter : IConverter<PinRequest, PinRequestSurrogate>
{
    public PinRequest ConvertFromSurrogate(in PinRequestSurrogate surrogate) =>
        new(surrogate.Op, surrogate.Session, surrogate.Page, surrogate.Client, surrogate.KnownGen);

    public PinRequestSurrogate ConvertToSurrogate(in PinRequest value) =>
        new(value.Op, value.Session, value.Page, value.Client, value.KnownGen);
}

[GenerateSerializer, Immutable, Alias("fleet.PinReply")]
public readonly record struct PinReplySurrogate(
    [property: Id(0)] short Err,
    [property: Id(1)] At At,
    [property: Id(2)] int Gen,
    [property: Id(3)] long Number,
    [property: Id(4)] ulong Pfn);

[RegisterConverter]
public sealed class PinReplyConverter : IConverter<PinReply, PinReplySurrogate>
{
    public PinReply ConvertFromSurrogate(in PinReplySurrogate surrogate) =>
        new((Errno)surrogate.Err, surrogate.At, surrogate.Gen, surrogate.Number, surrogate.Pfn);

    public PinReplySurrogate ConvertToSurrogate(in PinReply value) =>
        new((short)value.Err, value.At, value.Gen, value.Number, value.Pfn);
}

[GenerateSerializer, Immutable, Alias("fleet.UnpinRequest")]
public readonly record struct UnpinRequestSurrogate(
    [property: Id(0)] long Op,
    [property: Id(1)] int Session,
    [property: Id(2)] int Gen,
    [property: Id(3)] long Number,
    [property: Id(4)] int Client);

[RegisterConverter]
public sealed class UnpinRequestConverter : IConverter<UnpinRequest, UnpinRequestSurrogate>
{
    public UnpinRequest ConvertFromSurrogate(in UnpinRequestSurrogate surrogate) =>
        new(surrogate.Op, surrogate.Session, surrogate.Gen, surrogate.Number, surrogate.Client);

    public UnpinRequestSurrogate ConvertToSurrogate(in UnpinRequest value) =>
        new(value.Op, value.Session, value.Gen, value.Number, value.Client);
}

[GenerateSerializer, Immutable, Alias("fleet.UnpinReply")]
public readonly record struct UnpinReplySurrogate(
    [property: Id(0)] short Err,
    [property: Id(1)] At At);

[RegisterConverter]
public sealed class UnpinReplyConverter : IConverter<UnpinReply, UnpinReplySurrogate>
{
    public UnpinReply ConvertFromSurrogate(in UnpinReplySurrogate surrogate) =>
        new((Errno)surrogate.Err, surrogate.At);

    public UnpinReplySurrogate ConvertToSurrogate(in UnpinReply value) => new((short)value.Err, value.At);
}

[GenerateSerializer, Immutable, Alias("fleet.TicketReply")]
public readonly record struct TicketReplySurrogate(
    [property: Id(0)] long Ticket,
    [property: Id(1)] bool IsDone,
    [property: Id(2)] short Err,
    [property: Id(3)] At At,
    [property: Id(4)] string? WaitsFor);

[RegisterConverter]
public sealed class TicketReplyConverter : IConverter<TicketReply, TicketReplySurrogate>
{
    public TicketReply ConvertFromSurrogate(in TicketReplySurrogate surrogate) =>
        new(surrogate.Ticket, surrogate.IsDone, (Errno)surrogate.Err, surrogate.At, surrogate.WaitsFor);

    public TicketReplySurrogate ConvertToSurrogate(in TicketReply value) =>
        new(value.Ticket, value.IsDone, (short)value.Err, value.At, value.WaitsFor);
}

[GenerateSerializer, Immutable, Alias("fleet.SlotReport")]
public readonly record struct SlotReportSurrogate(
    [property: Id(0)] int Slot,
    [property: Id(1)] long Version,
    [property: Id(2)] long Gets,
    [property: Id(3)] long Puts,
    [property: Id(4)] At At);

[RegisterConverter]
public sealed class SlotReportConverter : IConverter<SlotReport, SlotReportSurrogate>
{
    public SlotReport ConvertFromSurrogate(in SlotReportSurrogate surrogate) =>
        new(surrogate.Slot, surrogate.Version, surrogate.Gets, surrogate.Puts, surrogate.At);

    public SlotReportSurrogate ConvertToSurrogate(in SlotReport value) =>
        new(value.Slot, value.Version, value.Gets, value.Puts, value.At);
}

[GenerateSerializer, Immutable, Alias("fleet.ZeroReply")]
public readonly record struct ZeroReplySurrogate(
    [property: Id(0)] bool IsZero,
    [property: Id(1)] long Value,
    [property: Id(2)] At At);

[RegisterConverter]
public sealed class ZeroReplyConverter : IConverter<ZeroReply, ZeroReplySurrogate>
{
    public ZeroReply ConvertFromSurrogate(in ZeroReplySurrogate surrogate) =>
        new(surrogate.IsZero, surrogate.Value, surrogate.At);

    public ZeroReplySurrogate ConvertToSurrogate(in ZeroReply value) =>
        new(value.IsZero, value.Value, value.At);
}

[GenerateSerializer, Immutable, Alias("fleet.FrontRequest")]
public readonly record struct FrontRequestSurrogate(
    [property: Id(0)] string Key,
    [property: Id(1)] byte Kind,
    [property: Id(2)] long Op,
    [property: Id(3)] int Session,
    [property: Id(4)] int Gen,
    [property: Id(5)] long Number,
    [property: Id(6)] ulong Address,
    [property: Id(7)] ulong SizeBytes,
    [property: Id(8)] int PageCount,
    [property: Id(9)] byte Direction,
    [property: Id(10)] byte Via,
    [property: Id(11)] ulong Tag);

[RegisterConverter]
public sealed class FrontRequestConverter : IConverter<FrontRequest, FrontRequestSurrogate>
{
    public FrontRequest ConvertFromSurrogate(in FrontRequestSurrogate surrogate) =>
        new(
        surrogate.Key, (FrontRequestKind)surrogate.Kind, surrogate.Op, surrogate.Session, surrogate.Gen,
        surrogate.Number, surrogate.Address, surrogate.SizeBytes, surrogate.PageCount,
        (AccessDirection)surrogate.Direction, (AccessVia)surrogate.Via, surrogate.Tag);

    public FrontRequestSurrogate ConvertToSurrogate(in FrontRequest value) =>
        new(
        value.Key, (byte)value.Kind, value.Op, value.Session, value.Gen, value.Number, value.Address,
        value.SizeBytes, value.PageCount, (byte)value.Direction, (byte)value.Via, value.Tag);
}

[GenerateSerializer, Immutable, Alias("fleet.FrontReply")]
public readonly record struct FrontReplySurrogate(
    [property: Id(0)] short Err,
    [property: Id(1)] At At,
    [property: Id(2)] long Number,
    [property: Id(3)] ulong Address,
    [property: Id(4)] short Resource,
    [property: Id(5)] short Owner,
    [property: Id(6)] ulong Tag);

[RegisterConverter]
public sealed class FrontReplyConverter : IConverter<FrontReply, FrontReplySurrogate>
{
    public FrontReply ConvertFromSurrogate(in FrontReplySurrogate surrogate) =>
        new(
        (Errno)surrogate.Err, surrogate.At, surrogate.Number, surrogate.Address, surrogate.Resource,
        surrogate.Owner, surrogate.Tag);

    public FrontReplySurrogate ConvertToSurrogate(in FrontReply value) =>
        new((short)value.Err, value.At, value.Number, value.Address, value.Resource, value.Owner, value.Tag);
}

[GenerateSerializer, Immutable, Alias("fleet.MapLife")]
public readonly record struct MapLifeSurrogate(
    [property: Id(0)] int Life,
    [property: Id(1)] int DeviceGen,
    [property: Id(2)] string ResourceKey,
    [property: Id(3)] ulong StartPfn,
    [property: Id(4)] long PageCount,
    [property: Id(5)] byte Type,
    [property: Id(6)] bool DropsInBulk);

[RegisterConverter]
public sealed class MapLifeConverter : IConverter<MapLife, MapLifeSurrogate>
{
    public MapLife ConvertFromSurrogate(in MapLifeSurrogate surrogate) =>
        new(
        surrogate.Life, surrogate.DeviceGen, surrogate.ResourceKey, surrogate.StartPfn, surrogate.PageCount,
        (MemoryType)surrogate.Type, surrogate.DropsInBulk);

    public MapLifeSurrogate ConvertToSurrogate(in MapLife value) =>
        new(
        value.Life, value.DeviceGen, value.ResourceKey, value.StartPfn, value.PageCount, (byte)value.Type,
        value.DropsInBulk);
}

[GenerateSerializer, Immutable, Alias("fleet.MapRange")]
public readonly record struct MapRangeSurrogate(
    [property: Id(0)] string Map,
    [property: Id(1)] ulong StartPfn,
    [property: Id(2)] long PageCount);

[RegisterConverter]
public sealed class MapRangeConverter : IConverter<MapRange, MapRangeSurrogate>
{
    public MapRange ConvertFromSurrogate(in MapRangeSurrogate surrogate) =>
        new(surrogate.Map, surrogate.StartPfn, surrogate.PageCount);

    public MapRangeSurrogate ConvertToSurrogate(in MapRange value) => new(value.Map, value.StartPfn, value.PageCount);
}

[GenerateSerializer, Immutable, Alias("fleet.PciBar")]
public readonly record struct PciBarSurrogate(
    [property: Id(0)] int Bar,
    [property: Id(1)] bool IsMemory,
    [property: Id(2)] ulong StartAddress,
    [property: Id(3)] ulong LengthBytes,
    [property: Id(4)] long BusOffset);

[RegisterConverter]
public sealed class PciBarConverter : IConverter<PciBar, PciBarSurrogate>
{
    public PciBar ConvertFromSurrogate(in PciBarSurrogate surrogate) =>
        new(surrogate.Bar, surrogate.IsMemory, surrogate.StartAddress, surrogate.LengthBytes, surrogate.BusOffset);

    public PciBarSurrogate ConvertToSurrogate(in PciBar value) =>
        new(value.Bar, value.IsMemory, value.StartAddress, value.LengthBytes, value.BusOffset);
}

[GenerateSerializer, Immutable, Alias("fleet.InjectionPlan")]
public readonly record struct InjectionPlanSurrogate(
    [property: Id(0)] string Point,
    [property: Id(1)] short Errno,
    [property: Id(2)] double Probability,
    [property: Id(3)] long Nth);

[RegisterConverter]
public sealed class InjectionPlanConverter : IConverter<InjectionPlan, InjectionPlanSurrogate>
{
    public InjectionPlan ConvertFromSurrogate(in InjectionPlanSurrogate surrogate) =>
        new(surrogate.Point, (Errno)surrogate.Errno, surrogate.Probability, surrogate.Nth);

    public InjectionPlanSurrogate ConvertToSurrogate(in InjectionPlan value) =>
        new(value.Point, (short)value.Errno, value.Probability, value.Nth);
}

[GenerateSerializer, Immutable, Alias("fleet.RunPlan")]
public readonly record struct RunPlanSurrogate(
    [property: Id(0)] string Run,
    [property: Id(1)] string Profile,
    [property: Id(2)] ulong Seed,
    [property: Id(3)] TimeSpan Patience,
    [property: Id(4)] double LeaseSeconds,
    [property: Id(5)] InjectionPlan[] Injections,
    [property: Id(6)] bool SharesSections,
    [property: Id(7)] bool IsSpread,
    [property: Id(8)] bool IsFenced);

[RegisterConverter]
public sealed class RunPlanConverter : IConverter<RunPlan, RunPlanSurrogate>
{
    public RunPlan ConvertFromSurrogate(in RunPlanSurrogate surrogate) =>
        new(
        surrogate.Run, surrogate.Profile, surrogate.Seed, surrogate.Patience, surrogate.LeaseSeconds,
        surrogate.Injections, surrogate.SharesSections, surrogate.IsSpread, surrogate.IsFenced);

    public RunPlanSurrogate ConvertToSurrogate(in RunPlan value) =>
        new(
        value.Run, value.Profile, value.Seed, value.Patience, value.LeaseSeconds, [.. value.Injections],
        value.SharesSections, value.IsSpread, value.IsFenced);
}

[GenerateSerializer, Immutable, Alias("fleet.DevicePlan")]
public readonly record struct DevicePlanSurrogate(
    [property: Id(0)] string Key,
    [property: Id(1)] string Driver,
    [property: Id(2)] PciBar[] Resources);

[RegisterConverter]
public sealed class DevicePlanConverter : IConverter<DevicePlan, DevicePlanSurrogate>
{
    public DevicePlan ConvertFromSurrogate(in DevicePlanSurrogate surrogate) =>
        new(surrogate.Key, surrogate.Driver, surrogate.Resources);

    public DevicePlanSurrogate ConvertToSurrogate(in DevicePlan value) =>
        new(value.Key, value.Driver, [.. value.Resources]);
}

[GenerateSerializer, Immutable, Alias("fleet.HostPlan")]
public readonly record struct HostPlanSurrogate(
    [property: Id(0)] string Name,
    [property: Id(1)] DevicePlan[] Devices);

[RegisterConverter]
public sealed class HostPlanConverter : IConverter<HostPlan, HostPlanSurrogate>
{
    public HostPlan ConvertFromSurrogate(in HostPlanSurrogate surrogate) =>
        new(surrogate.Name, surrogate.Devices);

    public HostPlanSurrogate ConvertToSurrogate(in HostPlan value) =>
        new(value.Name, [.. value.Devices]);
}

[GenerateSerializer, Immutable, Alias("fleet.OpenTicket")]
public readonly record struct OpenTicketSurrogate(
    [property: Id(0)] string Device,
    [property: Id(1)] long Ticket,
    [property: Id(2)] string Kind,
    [property: Id(3)] long Op,
    [property: Id(4)] string WaitsFor,
    [property: Id(5)] bool IsStuck);

[RegisterConverter]
public sealed class OpenTicketConverter : IConverter<OpenTicket, OpenTicketSurrogate>
{
    public OpenTicket ConvertFromSurrogate(in OpenTicketSurrogate surrogate) =>
        new(surrogate.Device, surrogate.Ticket, surrogate.Kind, surrogate.Op, surrogate.WaitsFor, surrogate.IsStuck);

    public OpenTicketSurrogate ConvertToSurrogate(in OpenTicket value) =>
        new(value.Device, value.Ticket, value.Kind, value.Op, value.WaitsFor, value.IsStuck);
}

[GenerateSerializer, Immutable, Alias("fleet.DeviceCounters")]
public readonly record struct DeviceCountersSurrogate(
    [property: Id(0)] long Allocs,
    [property: Id(1)] long AllocsRefused,
    [property: Id(2)] long Frees,
    [property: Id(3)] long Reaped,
    [property: Id(4)] long Binds,
    [property: Id(5)] long Unbinds,
    [property: Id(6)] long Oopses,
    [property: Id(7)] long Injected,
    [property: Id(8)] int LiveAllocations);

[RegisterConverter]
public sealed class DeviceCountersConverter : IConverter<DeviceCounters, DeviceCountersSurrogate>
{
    public DeviceCounters ConvertFromSurrogate(in DeviceCountersSurrogate surrogate) =>
        new(
        surrogate.Allocs, surrogate.AllocsRefused, surrogate.Frees, surrogate.Reaped, surrogate.Binds,
        surrogate.Unbinds, surrogate.Oopses, surrogate.Injected, surrogate.LiveAllocations);

    public DeviceCountersSurrogate ConvertToSurrogate(in DeviceCounters value) =>
        new(
        value.Allocs, value.AllocsRefused, value.Frees, value.Reaped, value.Binds, value.Unbinds, value.Oopses,
        value.Injected, value.LiveAllocations);
}

[GenerateSerializer, Immutable, Alias("fleet.DeviceReport")]
public readonly record struct DeviceReportSurrogate(
    [property: Id(0)] string Device,
    [property: Id(1)] bool IsBound,
    [property: Id(2)] DeviceCounters Counters,
    [property: Id(3)] OpenTicket[] Open);

[RegisterConverter]
public sealed class DeviceReportConverter : IConverter<DeviceReport, DeviceReportSurrogate>
{
    public DeviceReport ConvertFromSurrogate(in DeviceReportSurrogate surrogate) =>
        new(surrogate.Device, surrogate.IsBound, surrogate.Counters, surrogate.Open);

    public DeviceReportSurrogate ConvertToSurrogate(in DeviceReport value) =>
        new(value.Device, value.IsBound, value.Counters, [.. value.Open]);
}

[GenerateSerializer, Immutable, Alias("fleet.HostReport")]
public readonly record struct HostReportSurrogate(
    [property: Id(0)] string Host,
    [property: Id(1)] int Devices,
    [property: Id(2)] int Bound,
    [property: Id(3)] DeviceCounters Counters,
    [property: Id(4)] OpenTicket[] Open);

[RegisterConverter]
public sealed class HostReportConverter : IConverter<HostReport, HostReportSurrogate>
{
    public HostReport ConvertFromSurrogate(in HostReportSurrogate surrogate) =>
        new(surrogate.Host, surrogate.Devices, surrogate.Bound, surrogate.Counters, surrogate.Open);

    public HostReportSurrogate ConvertToSurrogate(in HostReport value) =>
        new(value.Host, value.Devices, value.Bound, value.Counters, [.. value.Open]);
}

[GenerateSerializer, Immutable, Alias("fleet.FailedBind")]
public readonly record struct FailedBindSurrogate(
    [property: Id(0)] string Device,
    [property: Id(1)] short Err,
    [property: Id(2)] string? WaitsFor);

[RegisterConverter]
public sealed class FailedBindConverter : IConverter<FailedBind, FailedBindSurrogate>
{
    public FailedBind ConvertFromSurrogate(in FailedBindSurrogate surrogate) =>
        new(surrogate.Device, (Errno)surrogate.Err, surrogate.WaitsFor);

    public FailedBindSurrogate ConvertToSurrogate(in FailedBind value) =>
        new(value.Device, (short)value.Err, value.WaitsFor);
}

[GenerateSerializer, Immutable, Alias("fleet.BuildReply")]
public readonly record struct BuildReplySurrogate(
    [property: Id(0)] int Devices,
    [property: Id(1)] int Bound,
    [property: Id(2)] FailedBind[] Failed);

[RegisterConverter]
public sealed class BuildReplyConverter : IConverter<BuildReply, BuildReplySurrogate>
{
    public BuildReply ConvertFromSurrogate(in BuildReplySurrogate surrogate) =>
        new(surrogate.Devices, surrogate.Bound, surrogate.Failed);

    public BuildReplySurrogate ConvertToSurrogate(in BuildReply value) =>
        new(value.Devices, value.Bound, [.. value.Failed]);
}

[GenerateSerializer, Immutable, Alias("fleet.PartCall")]
public readonly record struct PartCallSurrogate(
    [property: Id(0)] int Caller,
    [property: Id(1)] long Number,
    [property: Id(2)] long KnownBelow);

[RegisterConverter]
public sealed class PartCallConverter : IConverter<PartCall, PartCallSurrogate>
{
    public PartCall ConvertFromSurrogate(in PartCallSurrogate surrogate) =>
        new(surrogate.Caller, surrogate.Number, surrogate.KnownBelow);

    public PartCallSurrogate ConvertToSurrogate(in PartCall value) =>
        new(value.Caller, value.Number, value.KnownBelow);
}

[GenerateSerializer, Immutable, Alias("fleet.ResolveRequest")]
public readonly record struct ResolveRequestSurrogate(
    [property: Id(0)] int Session,
    [property: Id(1)] int Client,
    [property: Id(2)] long Of);

[RegisterConverter]
public sealed class ResolveRequestConverter : IConverter<ResolveRequest, ResolveRequestSurrogate>
{
    public ResolveRequest ConvertFromSurrogate(in ResolveRequestSurrogate surrogate) =>
        new(surrogate.Session, surrogate.Client, surrogate.Of);

    public ResolveRequestSurrogate ConvertToSurrogate(in ResolveRequest value) =>
        new(value.Session, value.Client, value.Of);
}

[GenerateSerializer, Immutable, Alias("fleet.ResolveReply")]
public readonly record struct ResolveReplySurrogate(
    [property: Id(0)] byte Stand,
    [property: Id(1)] int Gen,
    [property: Id(2)] FrontReply Reply);

[RegisterConverter]
public sealed class ResolveReplyConverter : IConverter<ResolveReply, ResolveReplySurrogate>
{
    public ResolveReply ConvertFromSurrogate(in ResolveReplySurrogate surrogate) =>
        new((CallStand)surrogate.Stand, surrogate.Gen, surrogate.Reply);

    public ResolveReplySurrogate ConvertToSurrogate(in ResolveReply value) =>
        new((byte)value.Stand, value.Gen, value.Reply);
}
