using System.CommandLine;
using System.Globalization;
using Fleet.Client.Inventory;
using Fleet.Client.Runs;
using Fleet.Client.Scenarios;
using Fleet.Client.Simulate;
using Fleet.Grains;
using Fleet.Silo.Cluster;
using Fleet.Storage.Results;
using Fleet.Storage.Server;

namespace Fleet.Client.Commands;

/// <summary><c>fleet run</c>: the main job, with every default.</summary>
internal static class RunCommand
{
    public static Command Create(Terminal terminal)
    {
        var scenario = new Argument<string>("SCENARIO")
        {
            Description = "A scenario's name or file; fleet scenario list shows the names.",
            DefaultValueFactory = _ => ScenarioFile.Default,
        };
        var profile = new Option<string?>(
            "--profile")
        { Description = "The kernel that the fleet runs, such as ALL, P0, CLEAN.", HelpName = "P" };
        var inventory = new Option<string?>("--inventory")
        {
            Description =
                "Real hardware instead of the scenario's: text of lspci -vv, a sysfs tree, or 'scan' for this machine.",
            HelpName = "F",
        };
        var devices = CommonOptions.Whole("--devices", 1, 1_000_000, "Devices of the fleet.");
        var replicate = CommonOptions.Whole(
            "--replicate", 1, HostInventory.HostsMax, "Make this many hosts of the one described.");
        var clients = CommonOptions.Whole("--clients", 1, 100_000, "Logical clients.");
        var duration = CommonOptions.Duration("--duration", "Length of the main phase ('steady', else the longest).");
        var rate = CommonOptions.Number("--rate", 0.001, 10_000_000, "Operations per second: makes the arrival open.");
        var seed = CommonOptions.WholeLong(
            "--seed", 0, long.MaxValue, "Every random choice comes from it; 0 draws one.");
        var patience = CommonOptions.Duration(
            "--patience", "How long an unbind may take at the end before it counts as stuck.");
        var faults = new Option<string?>(
            "--faults")
        { Description = "A fault plan's name or file, added to the scenario's own.", HelpName = "F" };
        var keepGoing = new Option<bool>("--keep-going")
        {
            Description =
                "Go on after a finding; without it the load ends 3 s after the first that decides the verdict.",
        };
        var silos = CommonOptions.Whole(
            "--silos", 1, 64,
            "Silos in processes of their own, joined by the store, or by a private server in ./fleet-db where none is "
            + "named (default: one silo in this process).");
        var cluster = new Option<string?>("--cluster")
        {
            Description = "Silos that somebody started under this name, instead of starting them.",
            HelpName = "NAME",
        };
        var generators = CommonOptions.Whole(
            "--generators", 1, RunNames.GeneratorsMax,
            "Generators that share the run; the load begins once all of them are there (fleet run --join).");
        var join = new Option<string?>("--join")
        {
            Description = "Take a share of this run's load, whose first generator waits for it.",
            HelpName = "RUN",
        };
        var simulate = new Option<bool>("--simulate")
        {
            Description = "A virtual cluster on a virtual clock, all choices from the seed, instead of a live fleet.",
        };
        var twice = new Option<bool>("--twice")
        {
            Description = "With --simulate: run it twice; histories that differ are kept, and exit 70.",
        };
        var history = new Option<string?>("--history")
        {
            Description = "With --simulate: write the history to this file, *.jsonl or *.jsonl.gz.",
            HelpName = "FILE",
        };
        var spoolBound = CommonOptions.Size(
            "--spool-bound", 8L << 20, 1L << 40,
            "Bytes that may wait on disk for the store before clients are held back (default 1GiB).");
        var set = ScenarioCommand.Set();
        var store = new StoreOptions();
        var command = new Command("run", "Hammers a fleet, stores what happened, judges it.")
        {
            scenario, profile, inventory, devices, replicate, clients, duration, rate, seed, set, faults, patience,
            keepGoing, silos, cluster, generators, join, spoolBound, simulate, twice, history,
        };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            if (parsed.GetValue(join) is { } joined)
                return await JoinAsync(
                    terminal, joined, RunStore.AddressOf(parsed.GetValue(store.Store), parsed.GetValue(store.Results)),
                    parsed.GetValue(store.Json), ct);

            var options = new RunOptions
            {
                Profile = parsed.GetValue(profile) is { } name ? ProfileCommand.Parse(name).Name : null,
                Inventory = parsed.GetValue(inventory),
                Devices = parsed.GetValue(devices),
                Replicate = parsed.GetValue(replicate),
                Clients = parsed.GetValue(clients),
                Duration = parsed.GetValue(duration),
                RatePerSecond = parsed.GetValue(rate),
                Seed = parsed.GetValue(seed),
                Patience = parsed.GetValue(patience),
                Faults = parsed.GetValue(faults),
                Overrides = ScenarioCommand.Overrides(parsed.GetValue(set)),
                Silos = parsed.GetValue(silos) ?? 0,
                Cluster = parsed.GetValue(cluster),
                Generators = parsed.GetValue(generators) ?? 1,
                IsSimulated = parsed.GetValue(simulate),
                SpoolBoundBytes = parsed.GetValue(spoolBound),
            };
            DemandSimulated(options.IsSimulated, parsed.GetValue(twice), parsed.GetValue(history));
            var (place, results) = (parsed.GetValue(store.Store), parsed.GetValue(store.Results));
            if (options is { Silos: > 0, Cluster: null, IsSimulated: false } && (place, results) is (null, null))
            {
                ScenarioFile.ReadScenario(parsed.GetRequiredValue(scenario), options.Overrides);
                place = await StartPrivateStoreAsync(terminal, ct);
            }

            var request = RunRequest.Create(
                parsed.GetRequiredValue(scenario),
                options,
                RunStore.AddressOf(place, results),
                parsed.GetValue(keepGoing),
                $"fleet {string.Join(' ', parsed.Tokens.Select(token => token.Value))}",
                DateTimeOffset.UtcNow);
            if (options.IsSimulated)
            {
                var run = new SimulatedRun(
                    request, parsed.GetValue(silos) ?? SimulatedRun.SilosDefault, parsed.GetValue(twice),
                    parsed.GetValue(history), results ?? RunStore.DefaultDirectory);
                return Simulate(terminal, run, parsed.GetValue(store.Json));
            }

            return await RunAsync(terminal, request, parsed.GetValue(store.Json), ct);
        });
        return command;
    }

    /// <summary>Silos share a database: where none was named, the private server of this directory is used.</summary>
    /// <remarks>It stays up, since the results are in it.</remarks>
    /// <returns>Its store address.</returns>
    /// <exception cref="Storage.StorageException">No server is installed, or it did not start.</exception>
    private static async Task<string> StartPrivateStoreAsync(Terminal terminal, CancellationToken ct)
    {
        var status = await PrivateServer.In(StoreAddress.PrivateDirectory).UpAsync(ct);
        terminal.SayProgress(
            $"fleet: the results go to the private server in {StoreAddress.PrivateDirectory} (--store private), which "
            + "stays up; fleet db down stops it.");
        return status.Address;
    }

    /// <exception cref="UsageException">What only a simulation has was asked of a live run.</exception>
    private static void DemandSimulated(bool isSimulated, bool twice, string? history)
    {
        if (!isSimulated && (twice || history is not null))
        {
            throw new UsageException(
                $"{(twice ? "--twice" : "--history")} is of simulated runs; accepted: with --simulate, and for a live "
                + "run fleet export RUN.");
        }
    }

    private static int Simulate(Terminal terminal, SimulatedRun run, bool asJson)
    {
        var summary = run.Run();
        if (asJson)
            terminal.WriteJson(summary);
        else
            SimulationView.Show(terminal, summary);
        return summary.ExitCode;
    }

    internal static async Task<int> JoinAsync(
        Terminal terminal, string run, StoreAddress store, bool asJson, CancellationToken ct)
    {
        if (!store.IsPostgres)
            throw new UsageException(
                "--join needs the store that the run's silos share; accepted: --store postgres://USER@HOST/DATABASE, "
                + "or --store private.");

        using var interruption = new Interruption(ct, () => terminal.SayProgress(
            "fleet: interrupted; storing what this share recorded (interrupt again to stop at once)."));
        JoinedSummary summary;
        try
        {
            summary = await JoinedRun.RunAsync(run, store, new PartProgress(terminal), interruption.Token);
        }
        catch (Exception e) when (LostCall.Is(e, interruption.Token))
        {
            throw new CutOffException(
                $"No silo of the run {run} answers any more; what this share recorded is kept, and fleet resume {run} "
                + "--store … goes on with it once the run has silos again.", e);
        }
        catch (OperationCanceledException) when (interruption.IsRequested)
        {
            return BeforeTheLoad(terminal);
        }

        if (asJson)
            terminal.WriteJson(summary);
        else
            terminal.Say(string.Create(
                CultureInfo.InvariantCulture,
                $"{summary.Generator} of {summary.Run}: {summary.Operations:N0} operations, {summary.Stored:N0} "
                + $"stored; the first generator says the verdict."));
        return interruption.IsRequested ? ExitCode.Interrupted : ExitCode.Valid;
    }

    internal static async Task<int> RunAsync(Terminal terminal, RunRequest request, bool asJson, CancellationToken ct)
    {
        using var interruption = new Interruption(ct, () => terminal.SayProgress(
            "fleet: interrupted; storing and checking what was recorded (interrupt again to stop at once)."));
        RunSummary summary;
        var form = asJson ? ProgressForm.Json : terminal.IsInteractive ? ProgressForm.Picture : ProgressForm.Lines;
        await using (var progress = new RunProgress(terminal, request, form))
        {
            try
            {
                summary = await new FleetRun(request, progress).RunAsync(interruption.Token);
            }
            catch (OperationCanceledException) when (interruption.IsRequested)
            {
                return BeforeTheLoad(terminal);
            }
        }

        if (asJson)
            terminal.WriteJson(summary);
        else
            SummaryView.Show(terminal, summary);
        return summary.ExitCode;
    }

    /// <summary>Says that an interrupted run left nothing behind.</summary>
    internal static int BeforeTheLoad(Terminal terminal)
    {
        terminal.SayProgress("fleet: interrupted before the load began; nothing was recorded.");
        return ExitCode.Interrupted;
    }
}
