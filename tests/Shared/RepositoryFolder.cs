namespace Fleet.Tests;

/// <summary>The repository that this was built from, found from wherever the build put it.</summary>
internal static class RepositoryFolder
{
    /// <exception cref="DirectoryNotFoundException">It was moved out of the repository since.</exception>
    public static string Root { get; } = FindRoot();

    public static string In(params string[] parts) => Path.Combine([Root, .. parts]);

    private static string FindRoot()
    {
        var at = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(at.FullName, "Fleet.sln")))
        {
            at = at.Parent ?? throw new DirectoryNotFoundException(
                $"Fleet.sln is in no folder above {AppContext.BaseDirectory}.");
        }

        return at.FullName;
    }
}
