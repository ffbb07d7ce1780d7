"""File trees and their byte streams; knows nothing of images or builds."""
