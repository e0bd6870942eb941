using System.Collections.Immutable;
using Fleet.Client.Load;

namespace Fleet.Client.Faults;

/// <summary>The devices of one silo that was struck, and when each was of use again.</summary>
/// <remarks>
/// A device is back with the first allocation that succeeds at an incarnation which the strike cannot have left, or
/// that was sent when the silo was gone. Concurrency: any thread.
/// </remarks>
internal sealed class Recovery
{
    private readonly Dictionary<int, Struck> _devices;
    private long _goneNs;
    private volatile bool _isAlone;

    internal Recovery(
        string kind, string silo, long strikeNs, bool isAlone, IEnumerable<(int Device, int Gen)> devices)
    {
        (Kind, Silo, StrikeNs, _goneNs, _isAlone) = (kind, silo, strikeNs, long.MaxValue, isAlone);
        _devices = devices.ToDictionary(device => device.Device, device => new Struck(device.Gen));
    }

    public string Kind { get; }

    public string Silo { get; }

    public long StrikeNs { get; }

    public int Devices => _devices.Count;

    /// <summary>Nanoseconds from the strike until each device was back, the first one first.</summary>
    public ImmutableArray<long> BackNs => [.. _devices.Values.Select(device => Interlocked.Read(ref device.BackNs))
        .Where(back => back > 0).Select(back => back - StrikeNs).Order()];

    /// <summary>Devices that another strike hit before they were back: nothing was measured of them.</summary>
    public int StruckAgain => _devices.Values.Count(device => Volatile.Read(ref device.IsStruckAgain));

    /// <summary>The fleet was whole when it struck, and nothing else struck before all its devices were back.</summary>
    public bool IsAlone => _isAlone;

    public int NotBack => Devices - BackNs.Length - StruckAgain;

    /// <summary>From here on nothing of the struck process answers.</summary>
    public void Gone(long atNs) => Interlocked.Exchange(ref _goneNs, atNs);

    internal void Allocated(int device, int gen, long sentNs, long doneNs)
    {
        if (_devices.TryGetValue(device, out var struck) && Interlocked.Read(ref struck.BackNs) == 0
            && !Volatile.Read(ref struck.IsStruckAgain)
            && (gen > struck.Gen || sentNs > Interlocked.Read(ref _goneNs)) && sentNs > StrikeNs)
            Interlocked.CompareExchange(ref struck.BackNs, doneNs, 0);
    }

    /// <summary>Another strike begins; those of its devices that are not back here are measured from then on.</summary>
    internal void StrikeAgain(IEnumerable<int> devices)
    {
        _isAlone &= NotBack == 0;
        foreach (var device in devices)
        {
            if (_devices.TryGetValue(device, out var struck) && Interlocked.Read(ref struck.BackNs) == 0)
                Volatile.Write(ref struck.IsStruckAgain, true);
        }
    }

    private sealed class Struck(int gen)
    {
        public bool IsStruckAgain;
        public long BackNs;

        public int Gen => gen;
    }
}

/// <summary>Learns from the answers to allocations which devices are back after a strike.</summary>
/// <remarks>Concurrency: any thread.</remarks>
internal sealed class RecoveryWatch(LoadFleet fleet)
{
    private readonly int[] _gens = new int[fleet.Devices.Length];
    private ImmutableArray<Recovery> _recoveries = [];

    public IReadOnlyList<Recovery> All => _recoveries;

    /// <summary>An allocation succeeded.</summary>
    public void Allocated(int device, int gen, long sentNs)
    {
        if (Volatile.Read(ref _gens[device]) < gen)
            Volatile.Write(ref _gens[device], gen);
        var recoveries = _recoveries;
        for (var place = recoveries.Length - 1; place >= 0; place--)
            recoveries[place].Allocated(device, gen, sentNs, MonotonicNs.Now);
    }

    /// <summary>Begins to watch the devices of a silo that is about to be struck.</summary>
    /// <param name="isWhole">Every silo of the fleet serves.</param>
    /// <param name="devices">Their places in the fleet.</param>
    public Recovery Begin(string kind, string silo, bool isWhole, IReadOnlyCollection<int> devices)
    {
        var recovery = new Recovery(
            kind, silo, MonotonicNs.Now, isWhole && _recoveries.All(earlier => earlier.NotBack == 0),
            devices.Select(device => (device, Volatile.Read(ref _gens[device]))));
        foreach (var earlier in _recoveries)
            earlier.StrikeAgain(devices);
        _recoveries = _recoveries.Add(recovery);
        return recovery;
    }
}
