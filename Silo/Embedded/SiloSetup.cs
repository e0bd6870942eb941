using Fleet.Grains.Shells;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Streams;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Configuration;
using Orleans.Runtime.Hosting;
using Orleans.Serialization;

namespace Fleet.Silo;

/// <summary>What makes a silo one of a fleet.</summary>
internal static class SiloSetup
{
    /// <summary>Name of the storage that grains keep their state in.</summary>
    public const string Storage = "fleet";

    public static void AddFleet(this ISiloBuilder silo, EmbeddedFleetOptions options)
    {
        options.Objects.NameProcess(options.ProcessId, options.Process);
        var log = options.Incarnations is MemoryIncarnations memory
            ? memory.Fence(options.Log, options.Objects) : options.Log;
        silo.Services.AddSingleton(new FleetContext(
            options.Objects, options.Streams, log, options.Incarnations, new MonotonicClock(options.Time),
            options.Process, options.ProcessId));
        silo.Services.AddSingleton(new LongPoll(options.LongPoll));
        silo.Services.AddSingleton<GrainLinks>();
        silo.Services.AddSingleton<ClientLedger>();
        silo.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>, LostSilos>();
        silo.Services.AddSingleton(options.Time);
        silo.Services.AddPlacementDirector<ColocatedPlacement, ColocatedPlacementDirector>();
        silo.Services.CarryFailures();
        silo.Services.Configure<SiloMessagingOptions>(messaging => messaging.ResponseTimeout = options.ResponseTimeout);
        silo.Services.Configure<ClientMessagingOptions>(
            messaging => messaging.ResponseTimeout = options.ResponseTimeout);
    }

    /// <summary>Lets Fleet's own failures travel between processes, also as the cause of another one.</summary>
    public static void CarryFailures(this IServiceCollection services) =>
        services.Configure<ExceptionSerializationOptions>(
            failures => failures.SupportedNamespacePrefixes.Add("Fleet"));

    /// <summary>Stamps events with the clock that generators of this machine use too.</summary>
    private sealed class MonotonicClock(TimeProvider time) : IEventClock
    {
        private readonly double _nsPerTick = 1e9 / time.TimestampFrequency;

        public long NowNs => time.TimestampFrequency == 1_000_000_000
            ? time.GetTimestamp() : (long)(time.GetTimestamp() * _nsPerTick);
    }
}
