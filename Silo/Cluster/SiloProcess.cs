using System.Diagnostics;
using System.Runtime.InteropServices;
using Fleet.Storage;

namespace Fleet.Silo.Cluster;

/// <summary>A silo in a process of its own, which never outlives this one: it ends with its standard input.</summary>
public sealed class SiloProcess : IAsyncDisposable
{
    private static readonly TimeSpan LeavePatience = TimeSpan.FromSeconds(15);

    /// <summary>Where a store's address stands that must not be seen in a list of processes.</summary>
    internal const string StoreVariable = "FLEET_STORE";

    internal static readonly string Program = Path.Combine(AppContext.BaseDirectory, "Fleet.Silo.dll");

    private readonly Process _process;

    private SiloProcess(Process process, string name)
    {
        _process = process;
        Name = name;
    }

    public string Name { get; }

    /// <summary>Number by which the machine knows it.</summary>
    public int Pid => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <param name="store">Address of the store as it was given; it goes through the environment, not the command
    /// line, since it may hold a password.</param>
    /// <param name="said">Takes each line that the silo says.</param>
    /// <param name="options">Further ones of its command line.</param>
    public static SiloProcess Start(
        string cluster, string store, string name, Action<string> said, IReadOnlyList<string>? options = null)
    {
        var start = new ProcessStartInfo(DotnetHost())
        {
            ArgumentList = { Program, "--cluster", cluster, "--name", name, "--child", "--once" },
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { [StoreVariable] = store },
        };
        foreach (var option in options ?? [])
        {
            start.ArgumentList.Add(option);
        }

        var process = new Process { StartInfo = start };
        process.OutputDataReceived += (_, line) => Say(line.Data);
        process.ErrorDataReceived += (_, line) => Say(line.Data);
        if (!process.Start())
        {
            throw new StorageException($"The silo process {Program} cannot be started.");
        }

        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return new(process, name);

        void Say(string? line)
        {
            if (!string.IsNullOrWhiteSpace(line))
            {
                said(line);
            }
        }
    }

    public Task WaitForExitAsync(CancellationToken ct) => _process.WaitForExitAsync(ct);

    /// <summary>Lets the silo leave and waits until it has; kills it when it does not.</summary>
    public async Task LeaveAsync()
    {
        _process.StandardInput.Close();
        using var patience = new CancellationTokenSource(LeavePatience);
        try
        {
            await _process.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            _process.Kill();
            await _process.WaitForExitAsync(CancellationToken.None);
        }
    }

    /// <summary>Lets the silo leave; kills it when it does not.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            await LeaveAsync();
        }

        _process.Dispose();
    }

    /// <summary>The program that runs this process's own runtime.</summary>
    internal static string DotnetHost()
    {
        var runtime = RuntimeEnvironment.GetRuntimeDirectory();
        var beside = Path.GetFullPath(Path.Combine(runtime, "../../../dotnet"));
        return File.Exists(beside) ? beside : "dotnet";
    }
}
