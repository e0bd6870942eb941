using System.Diagnostics;
using Fleet.Client.Load;
using Fleet.Client.Runs;
using Fleet.Client.Scenarios;
using Fleet.Kernel.History;
using Fleet.Silo.Cluster;
using Fleet.Storage.Results;
using static System.FormattableString;

namespace Fleet.Client.Faults;

/// <summary>The generators after the first, in processes that the run started, and the fault
/// <c>generator-kill</c>: one is killed, and another goes on with its share a while later.</summary>
/// <remarks>
/// Only processes started here are ever signalled. Disposing leaves none behind. Concurrency: strikes come one after
/// another, each healing is a task of its own.
/// </remarks>
internal sealed class LocalGenerators(string run, StoreAddress store, Action<string> said) : IAsyncDisposable
{
    /// <summary>How long a share is nobody's unless the plan says <c>for</c>.</summary>
    private static readonly TimeSpan AwayDefault = TimeSpan.FromSeconds(2);

    /// <summary>A generator that has said its last words only has to end.</summary>
    private static readonly TimeSpan EndPatience = TimeSpan.FromSeconds(30);

    private readonly Lock _gate = new();
    private readonly List<Place> _places = [];

    /// <param name="generators">Of the run, the first one included.</param>
    public void Start(int generators)
    {
        for (var number = 2; number <= generators; number++)
        {
            var place = new Place(number, StartProcess("run", "--join", run));
            lock (_gate)
                _places.Add(place);
        }
    }

    /// <summary>Chooses a generator that lives and is not struck already.</summary>
    /// <returns>Null where there is none now.</returns>
    public Place? Choose(Strike strike, Fault fault)
    {
        lock (_gate)
        {
            var living = _places.Where(place => !place.IsStruck && !place.Process.HasExited
                && (fault.Target is null or "random" || fault.Target == Invariant($"{place.Number}"))).ToList();
            if (living.Count == 0)
                return null;

            var chosen = living[strike.Among(living.Count)];
            chosen.IsStruck = true;
            return chosen;
        }
    }

    /// <summary>Kills the process of a place; another takes the share once the plan's time has passed.</summary>
    public async Task<FaultRecord> KillAsync(Place place, Fault fault, CancellationToken over)
    {
        var (atNs, pid) = (MonotonicNs.Now, place.Process.Id);
        place.Process.Kill();
        await place.Process.WaitForExitAsync(CancellationToken.None);
        await LiveFaults.PauseAsync(fault.For ?? AwayDefault, over);
        place.Process.Dispose();
        place.Process = StartProcess("resume", run);
        place.IsStruck = false;
        return new(
            atNs, "generator-kill", Invariant($"generator {place.Number}"), string.Join(' ', fault.Expect),
            Invariant($"process {pid} killed; process {place.Process.Id} goes on with its share"));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var place in _places)
        {
            using var patience = new CancellationTokenSource(EndPatience);
            try
            {
                await place.Process.WaitForExitAsync(patience.Token);
            }
            catch (OperationCanceledException)
            {
                place.Process.Kill();
                await place.Process.WaitForExitAsync(CancellationToken.None);
            }

            place.Process.Dispose();
        }
    }

    private Process StartProcess(params string[] command)
    {
        var start = new ProcessStartInfo(
            Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) == "dotnet" ? host : "dotnet")
        {
            ArgumentList = { typeof(LocalGenerators).Assembly.Location },
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { [ParentWatch.Variable] = ParentWatch.Yes },
        };
        foreach (var word in (string[])[.. command, "--store", store.Unredacted])
            start.ArgumentList.Add(word);
        var process = new Process { StartInfo = start };
        process.OutputDataReceived += (_, line) => Say(line.Data);
        process.ErrorDataReceived += (_, line) => Say(line.Data);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }

    private void Say(string? line)
    {
        if (!string.IsNullOrWhiteSpace(line))
            said($"generator: {line}");
    }

    /// <summary>A share of the load, whichever process makes it.</summary>
    /// <param name="number">From 2, as a fault's target names it.</param>
    internal sealed class Place(int number, Process process)
    {
        public int Number => number;

        public Process Process { get; set; } = process;

        public bool IsStruck { get; set; }
    }
}
